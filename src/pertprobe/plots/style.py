"""One style: a bundled font, a style sheet that a user's own may be laid over, and the roles of its colours."""

import os
from pathlib import Path

import matplotlib

matplotlib.use(os.environ.get("MPLBACKEND", "Agg"))  # a notebook has its own, and shows no figure of another
import matplotlib.pyplot as plt
from matplotlib import font_manager

from pertprobe.errors import PertprobeError

FOLDER = Path(__file__).parent
SHEET = FOLDER / "paper.mplstyle"
SUBJECT, NULL, GOOD, BAD, MIXED, RIVAL, KNOWN, BAND = (f"C{place}" for place in range(8))
"""Colours by what they stand for, places in the cycle of the style sheet, so that another sheet changes them: model;
null and untrained copies; mechanism, pass; lookup, fail; mixed answers; co-variation; known kinds; range of a null."""
COLOURS = {"pass": GOOD, "fail": BAD, "mixed": MIXED, "not evaluable": BAND}
"""Verdict -> colour; always written in words too."""
SMALL, TEXT, TITLE = 5, 6, 7
"""Sizes of text in points: of numbers beside marks, of all else, of titles and panel letters."""


def use_style(sheet: str | Path | None = None) -> None:
    """Draw from now on by the package's style sheet, and by one of the user's own laid over it.

    Raises PertprobeError for a sheet that cannot be read.
    """
    try:
        plt.style.use([SHEET, *([sheet] if sheet else [])])
    except OSError as error:
        raise PertprobeError(f"style: {sheet} is no style sheet of matplotlib that can be read ({error})") from error


for font in sorted((FOLDER / "fonts").glob("*.ttf")):
    font_manager.fontManager.addfont(font)
use_style()
