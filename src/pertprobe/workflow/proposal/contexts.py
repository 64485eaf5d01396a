"""In which context a model is to be probed, whether it has seen perturbed cells there, and which models to compare."""

import re
from collections.abc import Collection, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

from pertprobe.errors import PertprobeError, listed
from pertprobe.models.training_split import Split

REGIMES = ("fewshot", "zeroshot")
"""As they are written in names of directories and splits, bars and capitals aside."""


class Trained(NamedTuple):
    """What the names of a model directory's files, and its split, say of how it was trained."""

    words: Sequence[str]
    """Names in which contexts and regimes may be written: of the directory, of the split it was trained by."""
    split: Split | None


def context_of(trained: Trained, labels: Collection[str], name: str) -> str:
    """Return the label of the context that a model is to be probed in.

    The one that its split treats by itself, else the longest that is part of its names, else the only one.

    Raises:
        PertprobeError: none of these settles it.
    """
    special = _special(trained.split) & set(labels)
    if len(special) == 1:
        return special.pop()
    named = [label for label in sorted(special or labels) if any(part(label, word) for word in trained.words)]
    longest = max(map(len, named), default=0)
    settled = [label for label in named if len(label) == longest]
    if len(settled) == 1:
        return settled[0]
    if len(labels) == 1:
        return next(iter(labels))
    raise PertprobeError(
        f"nothing says which context it is to be probed in (found: {listed(sorted(labels))}). "
        f"Give --context {name}=LABEL"
    )


def _special(split: Split | None) -> set[str]:
    """Return the contexts that a split leaves out in whole or in part."""
    return set() if split is None else {*split.zeroshot, *split.heldout}


def bare(text: str) -> str:
    """Return a name in a-z, 0-9 and _."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


def part(label: str, word: str) -> bool:
    """Return whether a label stands in a name, between bars or ends."""
    return f"_{bare(label)}_" in f"_{bare(word)}_"


def regime_of(trained: Trained, context: str) -> str:
    """Return fewshot, zeroshot, or unknown: what the split says of the context, else the names."""
    if trained.split is not None:
        return "zeroshot" if context in trained.split.zeroshot else "fewshot"
    said = [each for each in REGIMES if any(each in bare(word).replace("_", "") for word in trained.words)]
    return said[0] if len(said) == 1 else "unknown"


def short_names(paths: Sequence[str]) -> dict[str, str]:
    """Return a name for each path: its last part in a-z, 0-9 and _, without the words that all of them begin with.

    Of these the regime stays.
    """
    names = [bare(Path(path).resolve().name) for path in paths]
    words = [name.split("_") for name in names]
    common = 0
    told = {"few", "zero", *REGIMES}
    while len(paths) > 1 and all(len(each) > common + 1 and each[common] == words[0][common] for each in words):
        if words[0][common] in told:
            break
        common += 1
    short = {path: "_".join(each[common:]) for path, each in zip(paths, words, strict=True)}
    if len(set(short.values())) == len(short):
        return short
    return {path: f"{name}_{i}" for i, (path, name) in enumerate(short.items(), start=1)}


def found_pairs(models: Mapping[str, tuple[str, str, str]]) -> dict[str, list[list[str]]]:
    """Return the pairs of models (name -> context, regime, space) that can be compared, of those that read one space.

    `contexts`: two of one regime in different contexts; `regimes`: the few-shot and the zero-shot one of a context.
    """
    pairs: dict[str, list[list[str]]] = {"contexts": [], "regimes": []}
    for one, other in combinations(models, 2):
        (context, regime, space), (elsewhere, another, read) = models[one], models[other]
        if space != read:
            continue
        if context != elsewhere and regime == another:
            pairs["contexts"].append([one, other])
        if context == elsewhere and {regime, another} == set(REGIMES):
            pairs["regimes"].append([one, other] if regime == "fewshot" else [other, one])
    return {kind: found for kind, found in pairs.items() if found}
