"""Which perturbations a model was trained with, and in which contexts."""

import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from pertprobe.errors import PertprobeError, listed, raise_together
from pertprobe.reading import read_text
from pertprobe.seeding import generator

Seen = Literal["here", "elsewhere", "never", "unknown"]
Regime = Literal["fewshot", "zeroshot"]

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

    def trained(self, perturbation: str, context: str) -> bool | None:
        """Return whether the perturbation was trained in the context; None where the file does not say."""
        if self.rows is not None:
            return self.rows.get((perturbation, context))
        return context not in self.zeroshot and perturbation not in self.heldout.get(context, ())


def read_split(path: str | Path) -> Split:
    """Read a cell-load TOML, or a TSV with the columns perturbation, context, trained (true or false).

    Raises:
        Faults: everything that is wrong with the file, together.
    """
    path = Path(path)
    try:
        text = read_text(path)
    except PertprobeError as error:
        raise PertprobeError(f"{path} cannot be read as a split: it {error}") from error
    try:
        return _from_toml(tomllib.loads(text), path) if path.suffix == ".toml" else _from_table(text, path)
    except tomllib.TOMLDecodeError as error:
        raise PertprobeError(f"{path} cannot be read as a split: {error}") from error


def _from_toml(content: Mapping[str, Mapping], path: Path) -> Split:
    training = content.get("training", {})
    zeroshot, fewshot = content.get("zeroshot", {}), content.get("fewshot", {})
    faults = [] if training else ["[training] names no dataset"]
    faults += [f"[training] {key} = '{use}': only 'train' is known" for key, use in training.items() if use != "train"]
    for key in (*zeroshot, *fewshot):
        if key.partition(".")[0] not in training or not key.partition(".")[2]:
            faults.append(f"'{key}' is not \"dataset.context\" with a dataset of [training] ({listed(training)})")
    unheld = {key: use for key, use in zeroshot.items() if use not in ("val", "test")}
    faults += [f"[zeroshot] '{key}' = '{use}': 'val' or 'test' is expected" for key, use in unheld.items()]
    for key, parts in fewshot.items():
        if not isinstance(parts, Mapping) or not set(parts) <= {"val", "test"}:
            faults.append(f"[fewshot.\"{key}\"] may hold lists 'val' and 'test', found {listed(parts)}")
    faults += [f"'{key}' is both zero-shot and few-shot" for key in zeroshot if key in fewshot]
    raise_together(faults, f"{path}: ")
    heldout = {key.partition(".")[2]: frozenset().union(*parts.values()) for key, parts in fewshot.items()}
    return Split(frozenset(key.partition(".")[2] for key in zeroshot), heldout)


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
    return sorted(set(card.get("cell_types") or ()) - (split.zeroshot if split else frozenset()))


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
