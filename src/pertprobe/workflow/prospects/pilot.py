"""A pilot of a run: the whole config at a fraction that takes minutes, in a folder of its own.

Everything is asked, of few perturbations, in few cell sets, with few draws and one untrained copy of each kind. One
program that can be asked keeps all its members. What comes of it is no result: it shows that the way to one works, and
what it takes.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import yaml

from pertprobe.files import atomic
from pertprobe.probes.declaration import declared
from pertprobe.roles import KNOWN
from pertprobe.workflow.prospects.askable import askable
from pertprobe.workflow.settled import without_agents

if TYPE_CHECKING:
    from pertprobe.workflow.checks import Inputs
    from pertprobe.workflow.parts_of_config import Config
    from pertprobe.workflow.prospects.askable import Known

ENDING = "_pilot"
"""End of the name of the run."""
CONFIG = "pilot.yaml"
"""The config of a pilot, below its results."""
KEPT, GENES = 32, 20
"""Perturbations beside those that a program and panels need, and genes that are silenced, at most."""
SETS, STEPS, ACTIVATIONS = 2, 100, 2000
"""Cell sets; steps of every training, and rows of an autoencoder, at most."""
STATISTICS = {"permutations": 199, "bootstrap": 99}
CONTROLS = {"redrawn": 1, "cascade": False}
SETTINGS = {"refits": 99, "outcome_refits": 19, "mlp_refits": 19, "draws": 2, "random": 1}
"""Settings of probes, at most."""


def pilot_folder(run: str) -> Path:
    """Return the folder of the results of a run's pilot."""
    return Path("results") / f"{run}{ENDING}"


def excerpt_folder(run: str, model: str) -> Path:
    """Return the folder of a model with fewer perturbations."""
    return pilot_folder(run) / "excerpts" / model


def pilot_config(config: "Config", found: "Known | None", table: pd.DataFrame) -> dict[str, Any]:
    """Return the config of a run's pilot.

    Args:
        config: the run's, settled.
        found: what is known of its models; None where it makes its cells itself, and keeps all perturbations.
        table: what can be asked of each program.
    """
    run, small = config["run"], deepcopy(dict(config))
    small |= {"run": f"{run}{ENDING}", "pilot": True, "shards": 1}
    small["statistics"] |= {key: min(small["statistics"][key], most) for key, most in STATISTICS.items()}
    small["controls"] |= {key: min(small["controls"][key], most) for key, most in CONTROLS.items()}
    for entry in small["cells"].values():
        entry["n_sets"] = min(entry["n_sets"], SETS)
    for entry in small["sae"].values():
        fewer = {"steps": min(entry["steps"], STEPS), "cells": min(entry["cells"], ACTIVATIONS), "seeds": 1}
        entry |= {} if "path" in entry else fewer
    for name, entry in small["models"].items():
        _fewer_of_model(run, name, entry, found, kept_perturbations(config, found, table))
    for name, settings in small["probes"].items():
        small["probes"][name] = _fewer_settings(settings or {}, name, kept_genes(found, table))
    return without_agents(_elsewhere(small, run))


def _fewer_of_model(run: str, name: str, entry: dict[str, Any], found: "Known | None", kept: Collection[str]) -> None:
    """Make a model one of fewer perturbations, or one that is trained in fewer steps."""
    if "train" in entry and entry["kind"] not in KNOWN:
        entry["train"]["steps"] = min(entry["train"].get("steps", STEPS), STEPS)
    elif entry["kind"] == "state" and found and len(kept) < len(_all(found)):
        entry["path"] = str(excerpt_folder(run, name))


def _fewer_settings(settings: Mapping[str, Any], probe: str, genes: Sequence[str]) -> dict[str, Any]:
    """Return settings of a probe that take less."""
    small = {key: min(value, SETTINGS[key]) if key in SETTINGS else value for key, value in settings.items()}
    for key in declared(probe).referring("genes"):
        if small.get(key) == "all" or isinstance(small.get(key), int):
            small[key] = list(genes) if genes else min(GENES, small[key] if small[key] != "all" else GENES)
    return small


def _elsewhere(value: Any, run: str) -> Any:
    """Return a config in which what the run makes itself lies in the folder of its pilot."""
    if isinstance(value, dict):
        return {key: _elsewhere(each, run) for key, each in value.items()}
    if isinstance(value, list):
        return [_elsewhere(each, run) for each in value]
    made = f"results/{run}/"
    return value.replace(made, "<results>/") if isinstance(value, str) and value.startswith(made) else value


def _all(found: "Known") -> list[str]:
    """Return the perturbations of all models, sorted."""
    return sorted(set().union(*(model["perturbations"] for model in found.models.values())))


def chosen_program(found: "Known", table: pd.DataFrame) -> str:
    """Return the program that most probes can ask about most models: of these the smallest, the first by name.

    Empty where none can be asked.
    """
    asked = table[table.enough].groupby("program").size()
    return min(asked.index, key=lambda name: (-asked[name], len(found.programs[name]), name), default="")


def kept_perturbations(config: "Config", found: "Known | None", table: pd.DataFrame) -> list[str]:
    """Return the perturbations of a pilot, sorted: those of a program, those that panels and settings name, some more.

    Those more lie evenly among all names. None where the run makes its cells itself.
    """
    if found is None:
        return []
    names = _all(found)
    program = chosen_program(found, table)
    needed = {*found.programs.get(program, ()), *_named(config)} & {*names}
    others = [name for name in names if name not in needed]
    return sorted(needed | {*_evenly(others, KEPT)})


def _named(config: "Config") -> Iterator[str]:
    """Yield the perturbations that panels, probes and the atlas of a config name."""
    for panel in config["panels"].values():
        yield from panel["regulators"]
        for part in ("perturbations", "controls"):
            yield from panel[part] if isinstance(panel[part], list) else ()
    for probe, settings in config["probes"].items():
        values = [(settings or {}).get(key, ()) for key in declared(probe).referring("perturbations")]
        for value in values:
            yield from value if isinstance(value, list) else [value]
    atlas = config["atlas"]["perturbations"]
    yield from atlas if isinstance(atlas, list) else ()


def kept_genes(found: "Known | None", table: pd.DataFrame) -> list[str]:
    """Return the genes that are silenced in a pilot, sorted: half of a program, half others; none before cells are."""
    if found is None:
        return []
    shared = sorted(set.intersection(*({*model["genes"]} for model in found.models.values())))
    inside = [gene for gene in shared if gene in found.programs.get(chosen_program(found, table), ())][: GENES // 2]
    others = [gene for gene in shared if gene not in inside]
    return sorted([*inside, *_evenly(others, GENES - len(inside))])


def _evenly(names: Sequence[str], number: int) -> list[str]:
    """Return so many of some names, as far apart from each other as they can be."""
    if len(names) <= number:
        return list(names)
    return [names[i * len(names) // number] for i in range(number)]


def asked_by_pilot(
    config: "Config", pilot: "Config", found: "Known | None", table: pd.DataFrame
) -> tuple["Known | None", pd.DataFrame]:
    """Return what is known of the models of a pilot, and what can be asked of them."""
    if found is None:
        return found, table
    kept = {*kept_perturbations(config, found, table)}
    models = {name: _with_few(model, kept) for name, model in found.models.items()}
    few = found._replace(models=models)
    return few, askable(pilot, few)


def _with_few(model: Mapping[str, Any], kept: Collection[str]) -> dict[str, Any]:
    asked = [name for name in model["perturbations"] if name in kept]
    return {**model, "perturbations": asked, "observed": model["observed"] & {*asked}}


def read_pilot(config: "Config", found: "Known | None", table: pd.DataFrame) -> dict[str, Any] | None:
    """Return the config of this run's pilot, settled, where it has run as this config would have it; None elsewhere."""
    folder = pilot_folder(config["run"])
    path = folder / CONFIG
    if config["pilot"] or not path.is_file() or not (folder / "run_times.tsv").is_file():
        return None
    wanted = pilot_config(config, found, table)
    return wanted if yaml.safe_load(path.read_text(encoding="utf-8")) == wanted else None


def write_pilot(config: "Config", inputs: "Inputs", found: "Known | None", table: pd.DataFrame) -> Path:
    """Write the config of a pilot, and models with fewer perturbations; return the config's path.

    What is there as it should be stays, so that a pilot that was stopped goes on where it was.
    """
    from pertprobe.models.by_agent import labels_of  # with torch

    small, kept = pilot_config(config, found, table), kept_perturbations(config, found, table)
    path = pilot_folder(config["run"]) / CONFIG
    for name, model in inputs.models.items():
        if small["models"][name].get("path") == str(folder := excerpt_folder(config["run"], name)):
            write_excerpt(config["models"][name]["path"], folder, {*labels_of(model, kept), model.control})
    text = HEAD + yaml.safe_dump(small, sort_keys=False, width=120)
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return path


HEAD = "# A pilot, written by `pertprobe run --pilot`: few perturbations, cell sets and draws. No result.\n"
MAP = "pert_onehot_map"
"""Name of State's file of perturbations, before its ending."""


def write_excerpt(path: str | Path, folder: Path, kept: Collection[str]) -> None:
    """Make a State directory with some of the perturbations of another: links to its files, and a map of these names.

    Raises PertprobeError where it cannot be read.
    """
    import torch

    from pertprobe.models.state.files import read_state_directory

    rows = {name: row for name, row in read_state_directory(path).perturbations.items() if name in kept}
    if folder.is_dir() and [*read_state_directory(folder).perturbations] == [*rows]:
        return
    with atomic(folder) as temporary:
        temporary.mkdir(exist_ok=True)
        for each in sorted(Path(path).resolve().iterdir()):
            if each.stem != MAP:
                (temporary / each.name).symlink_to(each)
        torch.save({name: row.clone() for name, row in rows.items()}, temporary / f"{MAP}.pt")
