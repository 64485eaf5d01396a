"""Forms in which the field writes a perturbation, its dose or its guide into one label, and what is read from them."""

import ast
import math
import re
from collections.abc import Mapping
from typing import NamedTuple

from pertprobe.errors import PertprobeError

LONGEST = 400
"""Signs of a label that is looked at; longer ones are themselves."""
MISSING = ("nan", "NaN", "<NA>", "NaT", "None")
"""What becomes of a missing label that was written as text; where one is the control label, it is a label."""
NOTHING = ("ctrl", "control")
"""What stands for no second gene in a label of two."""
MOLAR = {"pm": 1e-6, "nm": 1e-3, "um": 1.0, "µm": 1.0, "μm": 1.0, "mm": 1e3}
"""Unit -> micromoles a litre."""
MASS = {"pg/ml": 1e-6, "ng/ml": 1e-3, "ug/ml": 1.0, "µg/ml": 1.0, "μg/ml": 1.0, "mg/ml": 1e3}
"""Unit -> micrograms a millilitre."""
UNITS = MOLAR | MASS
WORDS_FOR = {
    "knock_down": ("knock_down", "knockdown", "knock-down", "kd", "crispri", "knock_out", "knockout", "knock-out", "ko",
                   "inhibition", "down", "-", "-1"),
    "activation": ("activation", "crispra", "overexpression", "over-expression", "oe", "up", "+", "1", "+1"),
}  # fmt: skip
"""Direction -> how tables write it."""
FIELDS = ("agent", "target", "dose", "guide", "direction", "group")
"""What a table, columns and the groups of a pattern may say of a label."""


class Meaning(NamedTuple):
    """What one label says."""

    agent: str
    """What perturbs: the name that tests know it by."""
    targets: tuple[str, ...] = ()
    """Genes it acts on."""
    dose: float | None = None
    """In one unit for all labels of an agent; None where there is none."""
    guide: str = ""
    """Which guide, or promoter, of its gene."""
    direction: str = ""
    """What it does to its targets; empty: not said."""
    group: str = ""
    """Such as a mechanism of action."""
    parts: int = 1
    """Agents that were given together."""


SYMBOL = r"[A-Za-z0-9][A-Za-z0-9.\-]*"
GUIDES = (
    re.compile(r"(?P<target>[A-Z][A-Z0-9.\-]*)g(?P<guide>\d{1,2})"),
    re.compile(rf"(?P<target>{SYMBOL}?)[-_.|](?:(?i:sgRNA|sg|gRNA|guide)|g)[-_]?(?P<guide>\d{{1,3}})"),
    re.compile(r"sg(?:RNA)?[-_]?(?P<target>[A-Z][A-Z0-9.\-]*?)[-_.](?P<guide>\d{1,3})"),
    re.compile(rf"(?P<target>{SYMBOL})_(?P<guide>P\d(?:P\d)*)"),
)
"""A gene and its guide, or promoter: STAT1g2, STAT1_sg2, sgSTAT1-2, STAT1_P1P2."""
TOGETHER = re.compile(rf"{SYMBOL}(?:\+{SYMBOL})+")
"""Genes given together: STAT1+ctrl, STAT1+IRF1."""
UNIT = "|".join(sorted(map(re.escape, UNITS), key=len, reverse=True))
DOSED = re.compile(rf"(?P<agent>.+?)[ _@:(\-]+(?P<dose>\d+(?:\.\d+)?(?:e-?\d+)?) ?(?P<unit>{UNIT})\)?", re.IGNORECASE)
"""A drug and its dose: Bosutinib_5.0uM, Bosutinib (500 nM)."""


def recognised(label: str) -> Meaning | None:
    """Return what a label of a usual form means; None for any other."""
    if len(label) > LONGEST:
        return None
    for form in (_listed_drugs, _together, _dosed, _guided):
        if found := form(label):
            return found
    return None


def _listed_drugs(label: str) -> Meaning | None:
    """Read a list of drugs with their doses as Python writes it, such as [('Bosutinib', 5.0, 'uM')]."""
    if not label.startswith("[("):
        return None
    try:
        drugs = ast.literal_eval(label)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    if not all(isinstance(each, tuple) and len(each) == 3 and isinstance(each[0], str) for each in drugs):
        return None
    if not all(isinstance(dose, int | float) and str(unit).casefold() in UNITS for _, dose, unit in drugs):
        return None
    names = sorted(name for name, _, _ in drugs)
    dose = _in_unit(*drugs[0][1:]) if len(drugs) == 1 else None
    return Meaning("+".join(names), (), dose, parts=len(drugs))


def _together(label: str) -> Meaning | None:
    if not TOGETHER.fullmatch(label):
        return None
    genes = tuple(sorted({each for each in label.split("+") if each.casefold() not in NOTHING}))
    return Meaning("+".join(genes), genes, parts=len(genes)) if genes else None


def _dosed(label: str) -> Meaning | None:
    match = DOSED.fullmatch(label)
    if not match:
        return None
    return Meaning(match["agent"].strip(), (), _in_unit(match["dose"], match["unit"]))


def _guided(label: str) -> Meaning | None:
    match = next(filter(None, (form.fullmatch(label) for form in GUIDES)), None)
    return Meaning(match["target"], (match["target"],), guide=match["guide"]) if match else None


def words_of(fields: Mapping[str, str | None]) -> Meaning:
    """Return what the words of a table, of columns or of a pattern say of a label; an agent they do not name is empty.

    A plus joins what was given together; targets of one agent stand apart by comma, semicolon or |. Raises
    PertprobeError for a dose that is no number and a direction of another word.
    """
    said = {name: (fields.get(name) or "").strip() for name in FIELDS}
    targets = _apart(r"[,;|+]", said["target"])
    together = _apart(r"\+", said["agent"] or said["target"])
    agent = "+".join(sorted(together)) if said["agent"] or len(together) > 1 else ""
    parts = max(1, len(together))
    return Meaning(
        agent, targets, _dose(said["dose"]), said["guide"], _direction(said["direction"]), said["group"], parts
    )


def laid_over(told: Meaning, beneath: Meaning | None, label: str) -> Meaning:
    """Return what is told of a label, and what else its form says.

    An agent that nobody names is the one target, or the label. So guides of one gene are one agent, and so are
    drugs of one target where the table does not name them.
    """
    beneath = beneath or Meaning("")
    own = {field: value for field, value in told._asdict().items() if value not in ("", (), None)}
    own |= {} if told.agent else {"parts": beneath.parts}
    found = beneath._replace(**own)
    if found.agent:
        return found
    return found._replace(agent=found.targets[0] if len(found.targets) == 1 else label)


def _apart(signs: str, text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each.strip() for each in re.split(signs, text) if each.strip()))


def _dose(text: str) -> float | None:
    if not text:
        return None
    match = re.fullmatch(rf"(?P<dose>[-+]?\d*\.?\d+(?:e[-+]?\d+)?) ?(?P<unit>{UNIT})?", text, re.IGNORECASE)
    dose = _in_unit(match["dose"], match["unit"] or "uM") if match else math.nan
    if not math.isfinite(dose):
        raise PertprobeError(f"dose '{text}' is no number, with or without a unit such as uM or ng/ml")
    return dose


def _in_unit(dose: str | float, unit: str) -> float:
    """Return a dose in the unit that doses are compared in, without the last digits that a product leaves."""
    return float(f"{float(dose) * UNITS[str(unit).casefold()]:.9g}")


def _direction(text: str) -> str:
    for direction, words in WORDS_FOR.items():
        if text.casefold() in words:
            return direction
    if text:
        raise PertprobeError(f"direction '{text}' is none of {', '.join(WORDS_FOR)}")
    return ""
