"""Files that say which perturbations a model was trained with: cell-load's rules, or a table."""

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from pertprobe.errors import PertprobeError, listed, raise_together
from pertprobe.models.training_split import Split
from pertprobe.readers.texts import read_table, read_yaml

SECTIONS = ("datasets", "training", "zeroshot", "fewshot")
"""Of cell-load's rules."""
RULES = (".toml", ".yaml", ".yml")
PARTS = ("train", "val", "test")
"""What cell-load's rules say that cells are for."""
TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


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
        if path.suffix in (".yaml", ".yml"):
            text, content = "", read_yaml(path, path.name)
        else:
            text = read_table(path)
            content = tomllib.loads(text) if path.suffix == ".toml" else None
    except (PertprobeError, ValueError, RecursionError) as error:  # tomllib descends into what is nested
        raise PertprobeError(f"{path} cannot be read as a split: {error}") from error
    return _from_rules(content, path) if path.suffix in RULES else _from_table(text, path)


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
    paths = {name: str(place) for name, place in datasets.items()}
    found = _merged([key for key in zeroshot if key not in whole], heldout, paths)
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


def _merged(zeroshot: Iterable[str], fewshot: Mapping[str, Mapping], datasets: Mapping[str, str]) -> Split:
    """Return the rules of all data sets, those of a context that several have apart."""
    rules: dict[str, dict[str, Split]] = {}
    for key in zeroshot:
        dataset, _, context = key.partition(".")
        rules.setdefault(context, {})[dataset] = Split(frozenset([context]))
    for key, parts in fewshot.items():
        dataset, _, context = key.partition(".")
        rules.setdefault(context, {})[dataset] = Split(heldout={context: frozenset().union(*parts.values())})
    nowhere = [context for context, sets in rules.items() if all(each.zeroshot for each in sets.values())]
    held = {
        context: frozenset.intersection(*(each.heldout[context] for each in sets.values() if each.heldout))
        for context, sets in rules.items()
        if context not in nowhere
    }
    several = {context: sets for context, sets in rules.items() if len(sets) > 1}
    return Split(frozenset(nowhere), held, by_dataset=several, datasets=datasets)


def _from_table(text: str, path: Path) -> Split:
    header, *lines = [line.split("\t") for line in text.splitlines() if line.strip()] or [[]]
    wanted = ["perturbation", "context", "trained"]
    if missing := [name for name in wanted if name not in header]:
        raise PertprobeError(
            f"{path} has no column {listed(missing)} (found: {listed(header)}); tab-separated is expected"
        )
    faults, rows = ([] if lines else ["holds no row below its header"]), {}
    for number, line in enumerate(lines, start=2):
        row = dict(zip(header, line, strict=False))
        trained = TRUTH.get(row.get("trained", "").strip().lower())
        if trained is None:
            faults.append(f"line {number}: trained is '{row.get('trained', '')}', true or false is expected")
        elif rows.setdefault((row["perturbation"], row["context"]), trained) != trained:
            faults.append(f"line {number}: {row['perturbation']} in {row['context']} is both trained and not trained")
    raise_together(faults, f"{path}: ")
    return Split(rows=rows)
