"""The run's config: every fault named at once, paths expanded. Reads no data, imports nothing heavy."""

import os
import re
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, ValidationError, validators

from pertprobe.errors import PertprobeError, nearest
from pertprobe.probes.declaration import LOADER, SPACE_OF_RESPONSES, Declaration, all_declared

VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


def read_keys(path: Path) -> dict[str, Any]:
    """Return what a file in YAML holds; raises PertprobeError where it cannot be read or holds no keys."""
    try:
        found = yaml.load(path.read_text(encoding="utf-8"), Loader=LOADER)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise PertprobeError(f"{path}: cannot be read ({reason}). Give the path of a YAML file") from error
    except yaml.YAMLError as error:
        raise PertprobeError(f"{path}: is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(found, dict):
        raise PertprobeError(f"{path}: holds no keys. A config begins with run, cells, models (config/README.md)")
    return found


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
    name, default = match.groups()
    value = os.environ.get(name, default)
    if value is None:
        raise PertprobeError(f"config: {match.group(0)} needs the environment variable {name}, which is not set.")
    return value


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
    return schema


def _settings(probe: Declaration) -> dict[str, Any]:
    """Return the schema of a probe's section of the config."""
    piece = {"type": "object", "additionalProperties": False, "properties": dict(probe.settings)}
    return piece | {"required": list(probe.required), "dependentRequired": dict(probe.together)}


def _conditions(probe: Declaration) -> dict[str, Any]:
    """Return the schema of a probe's thresholds; one that is not judged has none unless the config gives it some."""
    default = {"default": [list(each) for each in probe.thresholds]} if probe.thresholds else {}
    return {"$ref": "#/$defs/conditions", **default}


def schema_faults(config: dict[str, Any], schema: dict[str, Any]) -> list[str]:
    """Return every way in which the config breaks the schema, each in one sentence that starts with the key."""
    validator = Draft202012Validator(schema)
    errors = sorted(validator.iter_errors(config), key=lambda error: [str(part) for part in error.absolute_path])
    return list(dict.fromkeys(text for error in errors for text in _sentences(error)))


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


def _sentences(error: ValidationError) -> Iterator[str]:
    key = ".".join(str(part) for part in error.absolute_path) or "config"
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        known = list(error.schema.get("properties", {}))
        for unknown in sorted(error.instance.keys() - set(known), key=str):
            yield f"{key}: unknown key {unknown!r}{_hint(str(unknown), known)}"
    elif error.validator == "required":
        missing = [name for name in error.validator_value if name not in error.instance]
        yield f"{key}: {_listed(missing)} missing (has {_listed(list(error.instance)) or 'nothing'})."
    elif error.validator == "oneOf" and all("required" in each for each in error.validator_value):
        given = [name for each in error.validator_value for name in each["required"] if name in error.instance]
        choices = " or ".join(each["required"][0] for each in error.validator_value)
        yield f"{key}: give either {choices}, never both (found {_listed(given) or 'neither'})."
    elif error.validator == "oneOf":
        yield f"{key}: {error.instance!r} is not one of the forms allowed ({_forms(error.validator_value)})."
    elif error.validator == "dependentRequired":
        for name, needed in error.validator_value.items():
            missing = [each for each in needed if each not in error.instance] if name in error.instance else []
            if missing:
                yield f"{key}: {name} reads what {_listed(missing)} makes, which is missing. Add it or leave it out."
    elif error.parent is None and "propertyNames" in error.absolute_schema_path:
        yield f"{key}: the name {error.instance!r} may hold only a-z, 0-9 and _."
    else:
        yield f"{key}: {error.message}."


def _forms(schemas: list[dict[str, Any]]) -> str:
    return ", ".join(repr(each["const"]) if "const" in each else str(each.get("type")) for each in schemas)


def _hint(unknown: str, known: list[str]) -> str:
    near = nearest(unknown, known)
    return f"; did you mean {near[0]!r}?" if near else f" (known: {_listed(known)})."


def _listed(names: list[str]) -> str:
    return ", ".join(repr(name) for name in names)
