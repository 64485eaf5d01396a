"""Text that fits: measured in the bundled font at its printed size, in millimetres."""

from matplotlib import rcParams
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

MM = 25.4
"""Millimetres of an inch."""
ELLIPSIS = "…"


def text_width(text: str, size: float, weight: str = "normal") -> float:
    """Return the printed width of one line of text in mm."""
    font = FontProperties(family=rcParams["font.family"], size=size, weight=weight)
    width, _, _ = text_to_path.get_text_width_height_descent(text, font, ismath=False)
    return width * MM / 72


def shortened(text: str, most: float, size: float, weight: str = "normal") -> str:
    """Return the text, its middle left out where it is wider than `most` mm: names differ at both ends."""
    if text_width(text, size, weight) <= most:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        fits = text_width(_ends(text, middle), size, weight) <= most
        low, high = (middle, high) if fits else (low, middle - 1)
    return _ends(text, low)


def _ends(text: str, kept: int) -> str:
    """Return so many characters of a text, more than half of them from its beginning."""
    tail = kept // 2
    return text[: kept - tail].rstrip() + ELLIPSIS + (text[-tail:].lstrip() if tail else "")


def wrapped(text: str, most: float, size: float, weight: str = "normal") -> str:
    """Return the text in lines of at most `most` mm, broken at spaces; a word that is wider is shortened."""
    lines: list[str] = []
    for line in text.split("\n"):
        found = ""
        for word in line.split(" "):
            longer = f"{found} {word}" if found else word
            if found and text_width(longer, size, weight) > most:
                lines.append(found)
                longer = word
            found = longer
        lines.append(found)
    return "\n".join(shortened(line, most, size, weight) for line in lines)


def p_words(value: float) -> str:
    """Return a p or q as it is printed: two digits, no more zeros than are read."""
    if value != value:
        return "-"
    return f"{value:.2g}" if value < 0.0995 else f"{value:.2f}"
