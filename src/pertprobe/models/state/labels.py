"""Labels that a State directory does not say, or says otherwise than its maps."""

import re
from collections import Counter
from collections.abc import Collection
from pathlib import Path

from pertprobe.errors import PertprobeError, listed, nearest

CONTROL = "non-targeting"
"""What State takes for the control where nothing says it."""
DOSED = r"\[\('(?P<agent>.+)',\s*0(\.0*)?,\s*'[^']*'\)\]"
"""How Tahoe writes an agent at dose 0."""


def control_label(
    given: str | None, said: object, perturbations: Collection[str]
) -> tuple[str, tuple[str, ...], list[str]]:
    """Return the control's label in the map of perturbations, what is worth knowing of it, and what is wrong.

    Args:
        given: what the user says.
        said: what the directory says; None = nothing.
        perturbations: the names of the map.
    """
    if given is not None:
        if given in perturbations:
            other = said is not None and str(said) != given
            return given, (f"the control is '{given}', as the config says; the directory says '{said}'",) * other, []
        return given, (), [_absent(given, perturbations, "Set `control` of the model's entry to one of them")]
    wanted = CONTROL if said is None else str(said)
    if wanted in perturbations:
        return wanted, (), []
    dosed = [name for name in perturbations if (found := re.fullmatch(DOSED, name)) and found["agent"] == wanted]
    if len(dosed) == 1:
        return dosed[0], (f"the control '{wanted}' was found as \"{dosed[0]}\", at dose 0",), []
    return wanted, (), [_absent(wanted, perturbations, "Set `control` of the model's entry to the label it has there")]


def _absent(label: str, perturbations: Collection[str], remedy: str) -> str:
    """Return the fault of a control that the map does not have."""
    alike = [
        name for name in perturbations if re.search(r"non.?target|control|ctrl|dmso|pbs|untreated|ntc", name, re.I)
    ]
    near = nearest(label, perturbations, n=3) or alike
    return (
        f"pert_onehot_map: the control '{label}' is not among its {len(perturbations)} names (near: "
        f"{listed(near, 5)}). {remedy}"
    )


def read_names(path: str | Path) -> tuple[str, ...]:
    """Return the names in a text file, one a line; blank lines at its end do not count.

    Raises:
        PertprobeError: the file cannot be read, or a line is empty or holds several columns.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").rstrip().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise PertprobeError(f"genes: {path} cannot be read ({reason})") from error
    names = tuple(line.strip() for line in lines)
    if wrong := [f"line {i}: '{name}'" for i, name in enumerate(names, start=1) if not name or "\t" in name]:
        raise PertprobeError(f"genes: {path}: one name a line is expected, found {listed(wrong, 3)}")
    return names


def repeated(names: Collection[str]) -> str:
    """Return the names that stand more than once, in words; empty where each stands once."""
    twice = [name for name, n in Counter(names).items() if n > 1]
    return listed(twice, 5) if twice else ""
