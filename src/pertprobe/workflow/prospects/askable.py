"""Can each question be put: per probe, model (or pair) and program, from what models and cells hold."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from pertprobe.data.programs import Panel, Programs, read_panels, run_programs
from pertprobe.models.cards import known_gene_names, model_names, own_split, perturbation_table
from pertprobe.probes.declaration import Declaration, all_declared, declared
from pertprobe.stages.evaluability import evaluability_table
from pertprobe.workflow.settled import asked_panels

if TYPE_CHECKING:
    from pertprobe.workflow.checks import Inputs
    from pertprobe.workflow.parts_of_config import Config

HALVES = 2
"""Cells of a perturbation without which two halves of them cannot be compared."""
PAIR = " vs "
"""Between the two models of a pair, in the column `model`."""


class Known(NamedTuple):
    """What is known of a run before it measures."""

    models: Mapping[str, Mapping[str, Any]]
    """Model -> its names (perturbations without the control), context, regime, seen, and `observed`: the perturbations
    whose cells in its context can be halved."""
    programs: Programs
    panels: Mapping[str, Panel]


def known(config: "Config", inputs: "Inputs") -> Known:
    """Return what is known of the given models, and of the programs and panels that their names define."""
    models = {name: _model(config, inputs, name) for name in inputs.models}
    settings = config["programs"]
    programs = run_programs(settings["gmt"], settings, known_gene_names(models.values()))
    names = sorted(set().union(*(model["perturbations"] for model in models.values())))
    return Known(models, programs, read_panels(asked_panels(config, *config["probes"]), programs, names))


def _model(config: "Config", inputs: "Inputs", name: str) -> dict[str, Any]:
    entry, model = config["models"][name], inputs.models[name]
    source, cells = config["cells"][entry["context"]], inputs.cells.get(entry["context"])
    split = entry.get("split") or own_split(entry["path"])
    seen = perturbation_table(model, split, source["context"], source)["seen"].to_dict()
    found = model_names(model)
    found["perturbations"] = [each for each in found["perturbations"] if each != model.control]
    counts = zip(cells.perturbations, cells.n_perturbed, strict=True) if cells else ()
    observed = frozenset(perturbation for perturbation, n in counts if n >= HALVES)
    who = {"context": entry["context"], "regime": entry["regime"], "seen": seen, "observed": observed}
    return {**found, **who, "encoder_saw": model.card.get("encoder_saw")}


def askable(config: "Config", found: Known) -> pd.DataFrame:
    """Return one row per probe, model (of probes that compare: pair, `PAIR` between) and program (and panel).

    Columns: probe, model, program, panel; enough and reason, as the evaluability table says them and probes that answer
    do; n, how many units of the program the probe has, among how many (`among`).
    """
    probes, limits = all_declared(config["probes"]), config["programs"]
    enough = limits["min_perturbations"], limits["min_genes"]
    table = evaluability_table(found.models, found.programs, found.panels, probes, *enough)
    units = {
        (name, model): _units(each, probe, config)
        for name, probe in probes.items()
        for model, each in found.models.items()
    }
    rows = [_counted(row, units[row["probe"], row["model"]], found.programs) for row in table.to_dict("records")]
    table = pd.DataFrame(rows, columns=["probe", "model", "program", "panel", "enough", "reason", "n", "among"])
    alone = table[~table.probe.isin([name for name, probe in probes.items() if probe.of_pairs])]
    compared = [_of_pairs(table[table.probe == name], config, name) for name, each in probes.items() if each.of_pairs]
    return pd.concat([alone, *compared], ignore_index=True)


class Units(NamedTuple):
    """What a probe compares in a model."""

    probe: Declaration
    among: int
    """How many there are."""
    knocked_down: frozenset[str]
    """Genes that a probe which answers asks about."""
    least: int
    """Of these a program needs so many."""


def _units(model: Mapping[str, Any], probe: Declaration, config: "Config") -> Units:
    genes = knocked_down(model) if probe.answers else frozenset()
    among = len(genes) if probe.answers else _in_all(model, probe, config["probes"][probe.name])
    return Units(probe, among, genes, config["programs"]["min_genes"])


def _in_all(model: Mapping[str, Any], probe: Declaration, settings: Mapping[str, Any]) -> int:
    """Return among how many units of a model a probe compares."""
    if not probe.of_genes:
        untrained = probe.level == "representation"
        return sum(not (untrained and model["seen"].get(name) == "never") for name in model["perturbations"])
    genes = settings.get("genes", "all")
    if isinstance(genes, list):
        return len(genes)
    return len(model["genes"]) if genes == "all" else min(genes, len(model["genes"]))


def _counted(row: Mapping[str, Any], units: Units, programs: Programs) -> dict[str, Any]:
    """Return a row with how many units there are, of the program and in all."""
    n, reason = row["n_genes"] if units.probe.of_genes else row["n_perturbations"], row["reason"]
    if units.probe.answers:
        n = len(units.knocked_down & set(programs[row["program"]]))
        reason = reason if "model has no" in reason else _too_few_for_an_answer(n, units.least)
    elif not reason and not units.probe.of_panels and n > units.among - 2:
        rest = max(units.among - n, 0)
        reason = f"all but {rest} of the {units.among} {units.probe.unit}s are in the program: no background"
    keys = ("probe", "model", "program", "panel")
    return {**{key: row[key] for key in keys}, "enough": not reason, "reason": reason, "n": n, "among": units.among}


def _too_few_for_an_answer(n: int, least: int) -> str:
    return f"{n} knocked-down genes of the program that are inputs, {least} needed" if n < least else ""


def knocked_down(model: Mapping[str, Any]) -> frozenset[str]:
    """Return the perturbations of a model that are genes of its input and were observed in its context.

    Of a model whose encoder saw perturbed cells only those that it was not trained with.
    """
    genes = frozenset(model["perturbations"]) & frozenset(model["genes"]) & model["observed"]
    if model.get("encoder_saw") != "perturbed":
        return genes
    return frozenset(gene for gene in genes if model["seen"].get(gene) not in ("here", "elsewhere"))


def _of_pairs(table: pd.DataFrame, config: "Config", probe: str) -> pd.DataFrame:
    """Return the rows of a probe that compares two models: those of the pairs that it has a question about."""
    kinds = declared(probe).pairs
    pairs = [pair for kind in kinds for pair in config["pairs"][kind] if {*pair} <= {*table.model}]
    rows = [row for pair in pairs for row in _both(table, *pair)]
    reason = f"no pair under {' or '.join(f'pairs.{kind}' for kind in kinds)} of models that can be read"
    none = table.drop_duplicates("program").assign(model="", enough=False, reason=reason, n=0)
    return pd.DataFrame(rows, columns=table.columns) if pairs else none


def _both(table: pd.DataFrame, model: str, reference: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of a pair: what both models have."""
    mine, other = (table[table.model == name].to_dict("records") for name in (model, reference))
    for one, two in zip(mine, other, strict=True):
        reason = one["reason"] or two["reason"]
        both = {key: min(one[key], two[key]) for key in ("n", "among")}
        yield {**one, **both, "model": f"{model}{PAIR}{reference}", "reason": reason, "enough": not reason}
