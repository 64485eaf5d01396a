"""The page, the style and the words of figures: what every figure has, whatever it shows."""

import itertools
import re

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from pertprobe import plots
from pertprobe.errors import PertprobeError
from pertprobe.plots import DrawInputs, Drawn, Filled, shortened, text_width, wrapped
from pertprobe.plots.many import POINTS
from pertprobe.plots.style import SHEET
from pertprobe.probes.declaration import all_declared

MM = 25.4
DEFICIENT = {
    "deuteranope": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "protanope": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
}
"""Linear RGB as such eyes see it, of Machado, Oliveira & Fernandes (2009), severity 1."""
TO_XYZ = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
APART = 12.0
"""Least distance in CIE L*a*b*: 2 is just seen side by side."""


def seen(colour, matrix):
    """Return the L*a*b* of a colour as an eye with this matrix sees it."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    x, y, z = np.array(TO_XYZ) @ np.clip(np.array(matrix) @ linear, 0, 1) / [0.95047, 1, 1.08883]
    f = [np.cbrt(each) if each > (6 / 29) ** 3 else each / (3 * (6 / 29) ** 2) + 4 / 29 for each in (x, y, z)]
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def nearest(colours, matrix):
    """Return the smallest distance of two colours."""
    return min(np.linalg.norm(seen(a, matrix) - seen(b, matrix)) for a, b in itertools.combinations(colours, 2))


@pytest.fixture
def own_style():
    """Lay sheets over the package's, and take them away again."""
    yield plots.use_style
    plots.use_style()


@pytest.mark.parametrize("eye", DEFICIENT)
def test_the_palette_is_told_apart_by_the_colour_blind(eye):
    palette = [each["color"] for each in mpl.rcParams["axes.prop_cycle"]]
    assert len(palette) == 8
    assert nearest(palette, DEFICIENT[eye]) > APART
    assert nearest(["#2ca02c", "#d62728"], DEFICIENT["deuteranope"]) < nearest(["#2ca02c", "#d62728"], np.eye(3)) / 2


def rows(n, name="a program of the Hallmark collection with a long name"):
    q = np.linspace(0.001, 0.9, n)
    return pd.DataFrame({
        "program": [f"{name} {i}" for i in range(n)], "n": 5, "estimate": 0.5, "ci_low": 0.1, "ci_high": 0.8,
        "null_mean": 0.0, "null_sd": 0.1, "effect": np.linspace(1, 0, n), "p": q / 2, "q": q, "model": "m",
        "statistic": "coherence", "p_used": "p", "p_stratified": q / 2,
    })  # fmt: skip


def abreast(*tables):
    """Return a figure of tables side by side, its rows shared."""
    shared = plots.share_rows({f"m{place}": table for place, table in enumerate(tables)}, 45)
    figure, (axes,) = plots.bands([len(tables)], [plots.height_of(shared)])
    plots.draw_abreast(axes, shared, "x", Filled("q", 0.05))
    return figure


def inches(figure):
    return figure.get_size_inches() * MM


@pytest.mark.parametrize("n", [1, 2, 3, 12, 200])
def test_a_page_is_one_or_two_columns_wide_and_never_too_high(n, tmp_path):
    figure, axes = plots.panels(n, 60, 45)
    for each in axes:
        each.set(title="title of a panel that is much too long to stand in one line", xlabel="label " * 20)
    plots.foot(figure, plots.null_handles(Filled("q", 0.05)), ["A note. " * 60])
    plots.write_figure(figure, [tmp_path / "f.svg", tmp_path / "f.pdf"]) if n < 4 else None
    width, height = inches(figure)
    assert width == pytest.approx(89 if n == 1 else 183)
    assert height <= 170.001


def test_an_svg_has_its_exact_width_and_text_that_any_machine_can_show(tmp_path):
    figure = abreast(rows(3), rows(3))
    plots.write_figure(figure, [tmp_path / "f.svg"])
    text = (tmp_path / "f.svg").read_text()
    assert float(re.search(r'width="([\d.]+)pt"', text)[1]) * MM / 72 == pytest.approx(183, abs=0.01)
    sizes = {float(size) for size in re.findall(r"font-size: ([\d.]+)px", text)}
    assert sizes
    assert all(5 <= size <= 7 for size in sizes)
    assert set(re.findall(r"font-family: ([^;\"]+)", text)) == {"Arial, Helvetica, Arimo, sans-serif"}


def test_a_pdf_holds_every_page_in_truetype_and_other_formats_the_first(tmp_path):
    pages = [abreast(rows(n)) for n in (3, 20)]
    drawn = Drawn(pages[0], "What is drawn.", (pages[1],))
    paths = [tmp_path / f"f{end}" for end in (".svg", ".pdf", ".png", ".caption.txt")]
    plots.write_figure(drawn, paths)
    pdf = paths[1].read_bytes()
    assert len(re.findall(rb"/Type /Page\b", pdf)) == 2
    assert b"/CIDFontType2" in pdf
    assert b"/Type3" not in pdf
    assert b"Arimo" in pdf
    assert b"/CreationDate" not in pdf
    assert paths[3].read_text() == "What is drawn.\n"
    assert mpl.image.imread(paths[2]).shape[1] == int(89 / MM * 300)


def test_ids_do_not_depend_on_the_last_bits_of_the_layout(tmp_path):
    texts = []
    for more in (0.0, 1e-13):
        figure = abreast(rows(3), rows(3))
        figure.axes[0].set_xlim(-0.93 - more, 0.97)
        plots.write_figure(figure, [tmp_path / "f.svg"])
        texts.append((tmp_path / "f.svg").read_text())
    assert texts[0] == texts[1]
    assert re.search(r'clip-path="url\(#f[0-9a-f]{8}-\d+\)"', texts[0])


def test_names_are_shortened_in_the_middle_and_numbers_are_not():
    long = "HALLMARK_INTERFERON_GAMMA_RESPONSE_17"
    found = shortened(long, 20, 6)
    assert text_width(found, 6) <= 20
    assert found.startswith("HALL")
    assert found.endswith("_17")
    assert shortened("short", 20, 6) == "short"
    assert all(text_width(line, 6) <= 30 for line in wrapped("some words " * 9 + long * 2, 30, 6).split("\n"))


def test_marks_are_filled_by_the_bound_that_the_config_has():
    table = rows(10)

    def of(thresholds):
        return DrawInputs(table, {}, {}, {}, thresholds=thresholds).filled

    assert of([["effect", ">", 0], ["q", "<", 0.2]]) == Filled("q", 0.2)
    assert of([["p", "<", 0.01], ["q", "<=", 0.1]]) == Filled("q", 0.1)
    assert of([["effect", ">", 0]]) == Filled()
    assert of([["q", "<", 0.2]]).of(table).tolist() == (table.q < 0.2).tolist()
    assert Filled().of(table).all()
    assert not Filled("q", 0.1).known(table.assign(q=np.nan))


def test_intervals_end_where_the_statistic_does():
    table = rows(2).assign(ci_low=[-3.0, -0.5], ci_high=[2.0, 0.5], statistic=["coherence", "another"])
    found = plots.within(table, {"coherence": (-1, 1), "absent": (0, None)})
    assert found.ci_low.tolist() == [-1.0, -0.5]
    assert found.ci_high.tolist() == [1.0, 0.5]
    assert table.ci_low.tolist() == [-3.0, -0.5]


def test_ranges_are_declared_of_statistics_that_there_are():
    for name, declaration in all_declared().items():
        assert set(declaration.ranges) <= set(declaration.statistics), name
        assert all(low is None or high is None or low < high for low, high in declaration.ranges.values()), name


def test_very_many_points_are_a_density_and_many_an_image():
    rng = np.random.default_rng(0)
    _, axes = plots.panels(3, 60, 40)
    for each, n in zip(axes, (100, POINTS, POINTS + 1), strict=True):
        plots.points_or_density(each, *rng.normal(size=(2, n)))
    few, many, most = (each.collections[0] for each in axes)
    assert (few.get_rasterized(), many.get_rasterized(), most.get_rasterized()) == (False, True, True)
    assert len(few.get_offsets()) == 100
    assert most.get_array().sum() == POINTS + 1


def test_a_sheet_of_the_users_own_is_laid_over_and_the_rest_stays(own_style, tmp_path):
    sheet = tmp_path / "mine.mplstyle"
    sheet.write_text("font.size: 5\nlines.linewidth: 2\n")
    own_style(sheet)
    assert mpl.rcParams["font.size"] == 5
    assert mpl.rcParams["pdf.fonttype"] == 42
    own_style()
    assert mpl.rcParams["font.size"] == 6


def test_a_sheet_that_is_not_there_is_named(own_style):
    with pytest.raises(PertprobeError, match=r"style: nowhere\.mplstyle"):
        own_style("nowhere.mplstyle")


def test_the_font_lies_in_the_package_with_its_licence():
    folder = SHEET.parent / "fonts"
    assert "SIL OPEN FONT LICENSE" in (folder / "OFL.txt").read_text()
    found = mpl.font_manager.findfont(mpl.rcParams["font.family"][0], fallback_to_default=False)
    assert found == str(folder / "Arimo-Regular.ttf")


def test_what_is_left_out_is_said_only_where_it_is():
    assert plots.left_out(20, 20, "programs", "evidence/x.tsv") == ""
    said = plots.left_out(20, 674, "programs", "evidence/x.tsv")
    assert said == "Drawn are the 20 programs with the largest effects, of 674; all stand in evidence/x.tsv."
    assert plots.sentences("One", "", "two.") == "One. two."
