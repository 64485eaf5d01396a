"""Spaces of a run as AnnData: what was measured, rows x features, with all that the run knows of the rows beside it."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from pertprobe.data.programs import Programs, run_programs
from pertprobe.files import atomic
from pertprobe.models.cards import known_gene_names, read_card, read_seen
from pertprobe.probes.base import NOT_EVALUABLE, averaged
from pertprobe.probes.delta_y import strength
from pertprobe.roles import SUBJECT
from pertprobe.stages.answer import ASPECTS, read_answers
from pertprobe.stages.layout import lay_out
from pertprobe.stages.measuring import read_measurement, read_subject
from pertprobe.stages.quality import read_quality

if TYPE_CHECKING:
    from anndata import AnnData

NONE, SEVERAL = "none", "several"
"""What stands for the one program of a gene that is in none, or in more."""
NOT_PERTURBED = "no perturbation"
"""Status, of being seen, of a silenced gene that is no perturbation of the model."""
GENE = "gene"
"""Unit of a space whose rows are silenced genes, and feature of one whose columns are genes."""
ROWS = {"perturbation": "perturbation", GENE: "silenced gene"}
"""Unit of a space -> what its rows are."""
MEANS = {
    "model": "model of the run",
    "regime": "how it was trained, as the config says",
    "context": "cells it was read in",
    "program": "the program that the gene of the row belongs to; several; none",
    "programs": "all of them; one column for each in obsm['programs']",
    "strength": "Euclidean norm over genes of the predicted mean change",
    "seen": "where the model was trained with the perturbation: here, elsewhere, never, unknown",
    "n_cells": "observed cells of the perturbation in this context; nan: not observed",
    "answer": "the run's answer on the row's program; several: its programs are answered differently; none: none is",
    "leiden": "cluster of the graph of nearest neighbours, 0 the largest",
}
"""Column of obs -> what it holds."""


class Known(NamedTuple):
    """What a run knows of a model, beside the space."""

    who: Mapping[str, str]
    """model, regime and context."""
    programs: Programs
    strength: pd.Series
    """Perturbation -> norm of its delta_y."""
    seen: pd.Series
    """Perturbation -> here, elsewhere, never, unknown."""
    n_cells: pd.Series
    """Observed perturbation -> cells."""
    answers: pd.Series
    """Program -> answer; none, where the run has no probe that answers."""
    genes: pd.DataFrame
    """Gene -> statistics that the answer rests on; no columns, where the run has no such probe."""
    features: pd.DataFrame
    """Feature of the autoencoder -> how stable it is; none, where there is no such table."""


def space_of(measurement: xr.Dataset, space: Mapping[str, str], known: Known, seed: int = 0) -> "AnnData":
    """Return rows x features means of a model's measurement, for scanpy; without rows where it was not measured.

    Args:
        measurement: of the probe that the space belongs to.
        space: its name, variable, feature, unit and meaning.
        known: goes to obs, and of genes and features to var.
        seed: of neighbours, clusters and map.
    """
    import anndata as ad  # here: it takes longer to import than most jobs take

    table = pd.DataFrame()
    if NOT_EVALUABLE not in measurement.attrs:
        table = averaged(measurement, space["variable"]).to_pandas()
    rows, columns = (pd.Index(names.astype(str), name=None) for names in (table.index, table.columns))
    found = ad.AnnData(table.to_numpy(np.float32), obs=_obs(rows, table, space, known), var=_var(columns, space, known))
    found.obsm["programs"] = _memberships(rows, known.programs)
    told = {name: text for name, text in MEANS.items() if name in found.obs or name == "leiden"}
    told |= {name: f"{name} of the gene by itself, of what the answer rests on" for name in known.genes}
    found.uns = {"space": space["name"], "row": ROWS[space["unit"]], "feature": space["feature"]}
    found.uns |= {"X": space["meaning"], "obs": told, "variant": SUBJECT, **known.who, **measurement.attrs}
    lay_out(found, seed)
    return found


def _obs(rows: pd.Index, table: pd.DataFrame, space: Mapping[str, str], known: Known) -> pd.DataFrame:
    """Return what is known of the rows; strength of silenced genes is that of what silencing them does."""
    of_genes = space["unit"] == GENE
    names = ["model", "regime", "context"]
    obs = pd.DataFrame({name: pd.Categorical([known.who[name]] * len(rows)) for name in names}, index=rows)
    obs = obs.join(_named_programs(rows, known.programs))
    own = pd.Series(np.linalg.norm(table, axis=1), index=rows)
    obs["strength"] = (own if of_genes else known.strength.reindex(rows)).astype(float)
    obs["seen"] = known.seen.reindex(rows).fillna(NOT_PERTURBED if of_genes else "unknown").astype("category")
    obs["n_cells"] = known.n_cells.reindex(rows).astype(float)
    if len(known.answers):
        answered = known.programs, known.answers
        obs["answer"] = pd.Categorical([_answer(gene, *answered) for gene in rows])
    return obs.join(known.genes.reindex(rows))


def _var(columns: pd.Index, space: Mapping[str, str], known: Known) -> pd.DataFrame:
    """Return what is known of the features: programs of genes, and whether they are perturbed; of others stability."""
    if space["feature"] != GENE:
        further = known.features[known.features.index.isin(columns)]
        return pd.DataFrame(index=columns).join(further) if len(further) else pd.DataFrame(index=columns)
    return _named_programs(columns, known.programs).assign(perturbed=columns.isin(known.seen.index))


def _named_programs(genes: pd.Index, programs: Programs) -> pd.DataFrame:
    """Return `program` (one name, several, none) and `programs` (all names) of each gene."""
    of = {gene: [] for gene in genes}
    for name, members in programs.items():
        for gene in members:
            if gene in of:
                of[gene].append(name)
    one = [(found[0] if len(found) == 1 else SEVERAL) if found else NONE for found in of.values()]
    every = [", ".join(found) for found in of.values()]
    return pd.DataFrame({"program": pd.Categorical(one), "programs": np.array(every, object)}, index=genes)


def _memberships(rows: pd.Index, programs: Programs) -> pd.DataFrame:
    """Return a column for each program that has a member here."""
    found = {name: rows.isin(genes) for name, genes in programs.items()}
    return pd.DataFrame({name: has for name, has in found.items() if has.any()}, index=rows)


def _answer(gene: str, programs: Programs, answers: pd.Series) -> str:
    found = {answers[name] for name, genes in programs.items() if gene in genes and name in answers}
    return found.pop() if len(found) == 1 else (SEVERAL if found else NONE)


def write_space(space: "AnnData", path: str | Path) -> None:
    """Write a space as h5ad, all or nothing."""
    with atomic(path) as temporary:
        space.write_h5ad(temporary, convert_strings_to_categoricals=False)


def write_spaces(files: Any, params: Any, paths: Sequence[str]) -> None:
    """Write every space of every model of a run.

    Args:
        files: Snakemake's input: measurements (space by space, model by model), delta_y, seen, quality and names (one
            of each model, in order), programs, answers, genes (tables of the probes that answer) and features.
        params: models (name -> regime, context), spaces, statistics (of each probe that answers), programs, seed.
        paths: of the spaces, in the order of measurements.
    """
    known = dict(_known(files, params))
    asked = [(space, model) for space in params.spaces for model in params.models]
    for (space, model), measured, path in zip(asked, files.measurements, paths, strict=True):
        write_space(space_of(read_subject(measured), space, known[model], params.seed), path)


def _known(files: Any, params: Any) -> Iterator[tuple[str, Known]]:
    """Yield what is known of each model."""
    programs = run_programs(files.programs, params.programs, known_gene_names(list(map(read_card, files.names))))
    answers = read_answers(files.answers or None)
    features = _features(files.features)
    statistics = [each[aspect] for each in params.statistics for aspect in ASPECTS]
    sides = zip(params.models.items(), files.delta_y, files.seen, files.quality, strict=True)
    for (model, where), delta_y, seen, quality in sides:
        mine = answers[(answers.model == model) & (answers.role == SUBJECT) & (answers.program != "")]
        counted = read_quality(quality).set_index("perturbation").n_cells
        yield (
            model,
            Known(
                {"model": model, **where},
                programs,
                _strength(delta_y),
                read_seen(seen),
                counted,
                mine.set_index("program").answer,
                _genes(files.genes, statistics, model),
                features,
            ),
        )


def _strength(delta_y: str) -> pd.Series:
    refused = NOT_EVALUABLE in read_measurement(delta_y).attrs
    return pd.Series(dtype=float) if refused else strength(read_subject(delta_y, "delta_y"))


def _genes(paths: Sequence[str], statistics: Sequence[str], model: str) -> pd.DataFrame:
    """Return gene -> statistics of a model, from tables with model, gene and a column for each."""
    tables = [pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False) for path in paths]
    found = [table[table.model == model].set_index("gene")[list(statistics)] for table in tables]
    return pd.concat(found).apply(pd.to_numeric) if found else pd.DataFrame()


def _features(paths: Sequence[str]) -> pd.DataFrame:
    """Return feature -> whether an autoencoder of another seed has it too, from the tables of stability."""
    tables = [pd.read_csv(path, sep="\t", dtype={"stable": str}, index_col="feature") for path in paths]
    found = [table[["stable", "correlation", "decoder_cosine"]] for table in tables]
    return pd.concat(found).astype({"stable": "category"}) if found else pd.DataFrame()
