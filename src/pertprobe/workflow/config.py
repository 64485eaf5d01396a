"""The run's config: every fault named at once, defaults and paths filled in. Reads no data, imports nothing heavy."""

import os
import re
from collections.abc import Collection, Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, ValidationError, validators

from pertprobe.errors import PertprobeError
from pertprobe.probes.declaration import LOADER, SPACE_OF_RESPONSES, Declaration, all_declared
from pertprobe.workflow.conditions import condition_faults
from pertprobe.workflow.leaves import below, followed, leaf_faults, leaves, name_faults, of_items, repeated, unread_keys
from pertprobe.workflow.sentences import dotted, sentences

VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
BARE = re.compile(r"\$(\w+)")
"""A variable without braces, which paths may have; elsewhere $ is a sign of regular expressions."""


def expanded(config: Any, results: str) -> Any:
    """Return the config with `<results>` and `${NAME:-default}` replaced in every string.

    Raises PertprobeError for a variable that is not set and has no default.
    """
    if isinstance(config, dict):
        return {key: expanded(value, results) for key, value in config.items()}
    if isinstance(config, list):
        return [expanded(value, results) for value in config]
    if isinstance(config, str):
        return VARIABLE.sub(_variable, config.replace("<results>", results))
    return config


def _variable(match: re.Match) -> str:
    value = os.environ.get(match[1], match[2] if match.re is VARIABLE else None)
    if value is None:
        raise PertprobeError(f"config: {match[0]} needs the environment variable {match[1]}, which is not set.")
    return value


def variable_faults(config: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[str]:
    """Yield the variables of the environment that a config names, without a default, and that are not set."""
    for leaf in leaves(config, schema):
        forms = (VARIABLE, BARE) if leaf.piece.get("format") == "path" else (VARIABLE,)
        for match in (found for form in forms for found in form.finditer(str(leaf.value))):
            default = match[2] if match.re is VARIABLE else None
            if os.environ.get(match[1], default) is None:
                yield f"{leaf.key}: {match[0]} needs the environment variable {match[1]}, which is not set."


def normalised(config: Any, schema: dict[str, Any], piece: Mapping[str, Any] | None = None) -> Any:
    """Return a config that fits the schema with whole numbers as such (2.0 as 2), and paths without ~ and $NAME.

    Raises PertprobeError for a variable of a path that is not set.
    """
    piece = schema if piece is None else followed(piece, schema)
    if isinstance(config, dict):
        return {key: normalised(value, schema, below(piece, key)) for key, value in config.items()}
    if isinstance(config, list):
        return [normalised(each, schema, of_items(piece)) for each in config]
    if isinstance(config, float) and config.is_integer() and _may_be_whole(piece):
        return int(config)
    if isinstance(config, str) and piece.get("format") == "path":
        return os.path.expanduser(BARE.sub(_variable, config))
    return config


def _may_be_whole(piece: Mapping[str, Any]) -> bool:
    """Return whether a value may be a whole number; another kind of number keeps its form."""
    return any(each.get("type") == "integer" for each in (piece, *piece.get("oneOf", ())))


def whole_schema(path: str | Path) -> dict[str, Any]:
    """Return the schema of a config: that of the file, with what every probe declares of settings and thresholds."""
    schema = yaml.load(Path(path).read_text(), Loader=LOADER)
    probes, sections = all_declared(), schema["properties"]
    sections["probes"]["properties"] = {name: _settings(probe) for name, probe in probes.items()}
    sections["probes"]["dependentRequired"] = {
        name: [probe.measured_by] for name, probe in probes.items() if probe.measured_by not in ("", SPACE_OF_RESPONSES)
    }
    sections["thresholds"]["properties"] = {name: _conditions(probe) for name, probe in probes.items()}
    for level, piece in sections["levels"]["properties"].items():
        piece["default"] = [name for name, probe in probes.items() if probe.level == level and probe.counted]
    schema["$defs"]["probe"] = {"enum": list(probes)}
    column = schema["$defs"]["column"]
    column["enum"] = [name for names in column["kinds"].values() for name in names]
    return schema


def _settings(probe: Declaration) -> dict[str, Any]:
    """Return the schema of a probe's section of the config."""
    files = {probe.files: _of_files(probe.settings[probe.files])} if probe.files else {}
    piece = {"type": "object", "additionalProperties": False, "properties": {**probe.settings, **files}}
    return piece | {"required": list(probe.required), "dependentRequired": dict(probe.together)}


def _of_files(setting: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a setting that names files: its values are paths."""
    return {**setting, "additionalProperties": {**setting["additionalProperties"], "format": "path"}}


def _conditions(probe: Declaration) -> dict[str, Any]:
    """Return the schema of a probe's thresholds; one that is not judged has none unless the config gives it some."""
    default = {"default": [list(each) for each in probe.thresholds]} if probe.thresholds else {}
    return {"$ref": "#/$defs/conditions", **default}


def schema_faults(config: dict[str, Any], schema: dict[str, Any]) -> list[str]:
    """Return every way in which the config breaks the schema, each in one sentence that starts with the key."""
    if unread := [f"{each}." for each in unread_keys(config)]:
        return unread
    of_leaves = list(leaf_faults(config, schema))
    told = {fault.partition(":")[0] for fault in of_leaves}
    errors = [error for error in Draft202012Validator(schema).iter_errors(config) if not _told(error, told)]
    told |= {dotted(error) for error in errors}
    errors.sort(key=lambda error: [str(part) for part in error.absolute_path])
    by_schema = [text for error in errors for text in sentences(error)]
    conditions = condition_faults(config, schema["$defs"]["column"]["kinds"])
    further = [*name_faults(config), *(each for each in repeated(config) if each.partition(":")[0] not in told)]
    others = [each if each[-1] in ".?" else f"{each}." for each in (*conditions, *of_leaves, *further)]
    return list(dict.fromkeys([*by_schema, *others]))


def _told(error: ValidationError, told: Collection[str]) -> bool:
    """Return whether an error is told otherwise: of values by their keys, of conditions by what columns hold."""
    path = list(error.absolute_path)
    return dotted(error) in told or (len(path) > 2 and path[0] == "thresholds")


def fill_in(config: dict[str, Any], schema: dict[str, Any]) -> None:
    """Put the defaults of the schema into a config that fits it, in place, at every depth."""
    check = Draft202012Validator.VALIDATORS["properties"]

    def with_defaults(validator: Any, properties: dict[str, Any], instance: Any, piece: dict[str, Any]) -> Any:
        """Fill in the defaults of one mapping before its entries are looked at."""
        for key, each in properties.items():
            if "default" in each and isinstance(instance, dict):
                instance.setdefault(key, deepcopy(each["default"]))
        yield from check(validator, properties, instance, piece)

    filling = validators.extend(Draft202012Validator, {"properties": with_defaults})
    for _ in filling(schema).iter_errors(config):
        pass  # faults were named before: this walks the config alone
