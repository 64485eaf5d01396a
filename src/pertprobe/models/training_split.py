"""Which perturbations a model was trained with, and in which contexts."""

import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import yaml

from pertprobe.errors import PertprobeError, listed, raise_together
from pertprobe.seeding import generator

Seen = Literal["here", "elsewhere", "never", "unknown"]
Regime = Literal["fewshot", "zeroshot"]

SECTIONS = ("datasets", "training", "zeroshot", "fewshot")
"""Of cell-load's rules."""
PARTS = ("train", "val", "test")
"""What cell-load's rules say that cells are for."""
TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True)
class Split:
    """What a split file says about training: by rule (cell-load TOML) or by row (the user's table)."""

    zeroshot: frozenset[str] = frozenset()
    """Contexts left out of training altogether."""
    heldout: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Context -> perturbations left out of training there (validation and test)."""
    rows: Mapping[tuple[str, str], bool] | None = None
    """(perturbation, context) -> trained; None for a TOML, whose rules cover everything."""
    unnamed: bool = True
    """Whether contexts that the rules do not name were trained: those of data sets under [training]."""

    def trained(self, perturbation: str, context: str) -> bool | None:
        """Return whether the perturbation was trained in the context; None where the file does not say."""
        if self.rows is not None:
            return self.rows.get((perturbation, context))
        if not self.unnamed and context not in self.heldout:
            return False
        return context not in self.zeroshot and perturbation not in self.heldout.get(context, ())


def read_split(path: str | Path) -> Split:
    """Read cell-load's rules (TOML, or the same as YAML), or a TSV: perturbation, context, trained (true or false).

    As cell-load has it: data sets under [training] train with all lines that no rule names; of a few-shot line all
    perturbations train but those under val and test, whatever stands under train, in whichever data set it is; a line
    of another data set that is only named as zero-shot does not train.

    Raises:
        Faults: everything that is wrong with the file, together.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix in (".toml", ".yaml", ".yml"):
            return _from_rules(tomllib.loads(text) if path.suffix == ".toml" else yaml.safe_load(text), path)
        return _from_table(text, path)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, yaml.YAMLError) as error:
        raise PertprobeError(f"{path} cannot be read as a split: {error}") from error


def _from_rules(content: object, path: Path) -> Split:
    if not isinstance(content, Mapping):
        raise PertprobeError(f"{path}: holds no sections, those of cell-load are expected ({listed(SECTIONS)})")
    sections = {name: content.get(name) or {} for name in SECTIONS}
    wrong = [f"[{name}] holds no entries by name" for name, each in sections.items() if not isinstance(each, Mapping)]
    raise_together(wrong, f"{path}: ")
    datasets, training, zeroshot, fewshot = sections.values()
    raise_together([*_faults_of_rules(datasets, training, zeroshot, fewshot)], f"{path}: ")
    # cell-load can send all of a zero-shot line to training.
    whole = {key for key, use in zeroshot.items() if use == "train"}
    heldout = {key: {part: names for part, names in parts.items() if part != "train"} for key, parts in fewshot.items()}
    heldout |= {key: {} for key in whole}
    found = Split(
        frozenset(key.partition(".")[2] for key in zeroshot if key not in whole),
        {key.partition(".")[2]: frozenset().union(*parts.values()) for key, parts in heldout.items()},
    )
    return replace(found, unnamed=bool(training))


def _faults_of_rules(datasets: Mapping, training: Mapping, zeroshot: Mapping, fewshot: Mapping) -> Iterator[str]:
    """Yield what cell-load would not read, or read otherwise than it looks."""
    if not (training or fewshot or "train" in zeroshot.values()):
        yield "[training] names no dataset, and no line is few-shot: nothing would be trained"
    for key, use in training.items():
        if use != "train":
            yield f"[training] {key} = '{use}': only 'train' is known"
    known = dict.fromkeys((*training, *datasets))
    for key in (*zeroshot, *fewshot):
        if str(key).partition(".")[0] not in known or not str(key).partition(".")[2]:
            yield f"'{key}' is not \"dataset.context\" with a dataset of [datasets] or [training] ({listed(known)})"
    for key, use in zeroshot.items():
        if use not in PARTS:
            yield f"[zeroshot] '{key}' = '{use}': 'val' or 'test' is expected"
    for key, parts in fewshot.items():
        if not isinstance(parts, Mapping) or not all(
            part in PARTS and _are_names(each) for part, each in parts.items()
        ):
            found = listed(parts) if isinstance(parts, Mapping) else parts
            yield f'[fewshot."{key}"] may hold lists {listed(PARTS)} of names, found {found}'
        if key in zeroshot:
            yield f"'{key}' is both zero-shot and few-shot"


def _are_names(given: object) -> bool:
    return isinstance(given, list) and all(isinstance(name, str) for name in given)


def _from_table(text: str, path: Path) -> Split:
    header, *lines = [line.split("\t") for line in text.splitlines() if line.strip()] or [[]]
    wanted = ["perturbation", "context", "trained"]
    if missing := [name for name in wanted if name not in header]:
        raise PertprobeError(
            f"{path} has no column {listed(missing)} (found: {listed(header)}); tab-separated is expected"
        )
    faults, rows = [], {}
    for number, line in enumerate(lines, start=2):
        row = dict(zip(header, line, strict=False))
        trained = TRUTH.get(row.get("trained", "").strip().lower())
        if trained is None:
            faults.append(f"line {number}: trained is '{row.get('trained', '')}', true or false is expected")
        elif rows.setdefault((row["perturbation"], row["context"]), trained) != trained:
            faults.append(f"line {number}: {row['perturbation']} in {row['context']} is both trained and not trained")
    raise_together(faults, f"{path}: ")
    return Split(rows=rows)


def seen_status(
    split: Split | None,
    perturbations: Iterable[str],
    context: str,
    all_contexts: Iterable[str],
    *,
    control: str | None = None,
) -> pd.Series:
    """Return for each perturbation whether it was trained "here", only "elsewhere", "never", or "unknown".

    Args:
        split: what the split file says; None makes everything unknown.
        perturbations: names; the control is left out.
        context: the context of the model entry ("here").
        all_contexts: every context of the training data.
        control: the label of unperturbed cells.
    """
    names = [name for name in perturbations if name != control]
    elsewhere = [other for other in all_contexts if other != context]

    def status(name: str) -> Seen:
        """Say where a perturbation was seen."""
        here, *others = [split and split.trained(name, where) for where in (context, *elsewhere)]
        if here is None:
            return "unknown"
        if here:
            return "here"
        return "elsewhere" if True in others else "unknown" if None in others else "never"

    index = pd.Index(names, name="perturbation")
    return pd.Series([status(name) for name in names], index=index, name="seen", dtype=object)


def training_contexts(card: Mapping[str, Any], split: Split | None) -> list[str]:
    """Return the contexts whose cells the model was trained with, sorted; none where nothing says so.

    A table names them row by row; otherwise they are the model's own cell types without the split's zero-shot contexts.
    """
    if split is not None and split.rows is not None:
        return sorted({context for (_, context), trained in split.rows.items() if trained})
    found = set(card.get("cell_types") or ()) - (split.zeroshot if split else frozenset())
    return sorted(found if split is None or split.unnamed else found & set(split.heldout))


def held_out(
    labels: pd.DataFrame, context: str, regime: Regime, *, share: float, control: str, seed: int
) -> tuple[str, ...]:
    """Return the perturbations of `context` that the model must not see there, sorted: a share (fewshot) or all.

    Raises:
        PertprobeError: the context has no cells.
    """
    inside = labels[labels["context"] == context]
    if inside.empty:
        raise PertprobeError(f"train: context '{context}' is not among {listed(sorted(set(labels['context'])))}")
    names = sorted(set(inside["perturbation"]) - {control, ""})
    if regime == "zeroshot":
        return tuple(names)
    return tuple(sorted(generator(seed, "heldout", context).choice(names, round(share * len(names)), replace=False)))


def split_toml(cells_path: Path, context: str, regime: Regime, heldout: Sequence[str]) -> str:
    """Return cell-load's description of what was trained, the file's stem being the dataset's name."""
    name = cells_path.stem
    lines = ["[datasets]", f"{json.dumps(name)} = {json.dumps(str(cells_path))}"]
    lines += ["", "[training]", f'{json.dumps(name)} = "train"', "", "[zeroshot]"]
    key = json.dumps(f"{name}.{context}")
    if regime == "zeroshot":
        return "\n".join([*lines, f'{key} = "test"', "", "[fewshot]", ""])
    return "\n".join([*lines, "", f"[fewshot.{key}]", "val = []", f"test = {json.dumps(list(heldout))}", ""])
