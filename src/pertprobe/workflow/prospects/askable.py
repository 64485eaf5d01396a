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
    from pertprobe.workflow.checks import Config, Inputs

PAIR = " vs "
"""Between the two models of a pair, in the column `model`."""


class Known(NamedTuple):
    """What is known of a run before it measures."""

    models: Mapping[str, Mapping[str, Any]]
    """Model -> its names (perturbations without the control), context, regime, seen, and `observed`: the perturbations
    that have cells in its context."""
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
    context, cells = config["cells"][entry["context"]]["context"], inputs.cells.get(entry["context"])
    seen = perturbation_table(model, entry.get("split") or own_split(entry["path"]), context)["seen"].to_dict()
    found = model_names(model)
    found["perturbations"] = [each for each in found["perturbations"] if each != model.control]
    observed = frozenset(cells.perturbations if cells else ())
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
    rows = [_counted(row, config, found, probes[row["probe"]]) for row in table.to_dict("records")]
    table = pd.DataFrame(rows, columns=["probe", "model", "program", "panel", "enough", "reason", "n", "among"])
    alone = table[~table.probe.isin([name for name, probe in probes.items() if probe.of_pairs])]
    compared = [_of_pairs(table[table.probe == name], config, name) for name, each in probes.items() if each.of_pairs]
    return pd.concat([alone, *compared], ignore_index=True)


def _counted(row: Mapping[str, Any], config: "Config", found: Known, probe: Declaration) -> dict[str, Any]:
    """Return a row with how many units there are, of the program and in all."""
    model, settings = found.models[row["model"]], config["probes"][row["probe"]]
    n, among = row["n_genes"] if probe.of_genes else row["n_perturbations"], _in_all(model, probe, settings)
    reason = row["reason"]
    if probe.answers:
        n, least = len(knocked_down(model) & set(found.programs[row["program"]])), config["programs"]["min_genes"]
        lacking = reason if "model has no" in reason else ""
        reason = lacking or (f"{n} knocked-down genes of the program that are inputs, {least} needed" * (n < least))
    elif not reason and not probe.of_panels and n > among - 2:
        reason = f"all but {max(among - n, 0)} of the {among} {probe.unit}s are in the program: no background"
    keys = ("probe", "model", "program", "panel")
    return {**{key: row[key] for key in keys}, "enough": not reason, "reason": reason, "n": n, "among": among}


def _in_all(model: Mapping[str, Any], probe: Declaration, settings: Mapping[str, Any]) -> int:
    """Return among how many units of a model a probe compares."""
    if probe.answers:
        return len(knocked_down(model))
    if not probe.of_genes:
        untrained = probe.level == "representation"
        return sum(not (untrained and model["seen"].get(name) == "never") for name in model["perturbations"])
    genes = settings.get("genes", "all")
    if isinstance(genes, list):
        return len(genes)
    return len(model["genes"]) if genes == "all" else min(genes, len(model["genes"]))


def knocked_down(model: Mapping[str, Any]) -> frozenset[str]:
    """Return the perturbations of a model that are genes of its input and have cells in its context.

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
