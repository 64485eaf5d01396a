"""A user's style sheet is read before any job, and a line that matplotlib would leave out is named."""

import pytest

from pertprobe.errors import PertprobeError
from pertprobe.workflow.style_check import check_style


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"axes.linewidthh: 2\n", "is no style sheet of matplotlib: Bad key axes.linewidthh"),
        (b"axes.linewidth: thick\n", "is no style sheet of matplotlib: Key axes.linewidth: Could not convert"),
        (b"\x89HDF rest", "cannot be read"),
    ],
)
def test_what_is_no_style_sheet_is_refused_with_the_line(tmp_path, text, words):
    (tmp_path / "mine.mplstyle").write_bytes(text)
    with pytest.raises(PertprobeError, match=words):
        check_style(str(tmp_path / "mine.mplstyle"))


def test_a_style_sheet_is_good(tmp_path):
    (tmp_path / "mine.mplstyle").write_text("# mine\naxes.linewidth: 0.4\n")
    check_style(str(tmp_path / "mine.mplstyle"))
