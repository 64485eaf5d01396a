from html import escape

from calibration_sizes import sizes

from pertprobe.calibration import figures, page, table
from pertprobe.plots import write_figure
from pertprobe.probes.declaration import probe_names

PUBLISHED_FAILS = {"pert_embedding": "uniform programs, 80", "sae_features": "programs by strength, 30",
                   "targeted_jacobian": "uniform panels of co-expressed genes, 30",
                   "knockout": "highly expressed programs, 30"}  # fmt: skip


def test_every_figure_of_the_short_form_keeps_its_bound(short):
    failing = short[short.holds.notna() & ~short.holds.fillna(False)]
    assert failing.empty, failing[["figure", "probe", "setting", "value", "bound", "n"]].to_string()


def test_every_figure_asked_for_is_there(short):
    assert set(short.figure) == {
        "false positives at p < 0.05",
        "false positives of the published test",
        "reported p, super-uniform",
        "randomised p, Kolmogorov-Smirnov",
        "power at p < 0.05",
        "planted models",
        "untrained weights as the model",
        "right answer of a model",
        "programs taken for mechanism",
        "responses learned by name",
        "trained models",
        "interval of the disattenuated correlation",
        "speed",
    }
    judged = short[short.holds.notna()]
    assert len(judged) > 100
    assert judged.value.notna().all()


def test_power_is_drawn_in_full_wherever_it_has_a_bound(short):
    rows, drawn = short[short.figure == table.POWER], sizes(short=True)["power"]
    bounded = rows.bound.notna()
    assert set(rows.n[bounded]) == {drawn["draws"]}
    assert set(rows.n[~bounded]) == {drawn["unbounded"]}
    assert set(rows.probe[bounded]) == set(probe_names())


def test_published_tests_are_seen_to_fail(short):
    said = short[short.figure == table.PUBLISHED]
    for probe, setting in PUBLISHED_FAILS.items():
        rows = said[(said.probe == probe) & said.setting.str.startswith(setting)]
        assert rows.note.iloc[0].endswith("; fails"), rows
        assert rows.holds.isna().all()


def test_the_page_shows_every_figure_and_names_what_fails(short, tmp_path):
    broken = short.copy()
    worst = broken.index[(broken.figure == table.FALSE_POSITIVES)][0]
    broken.loc[worst, ["value", "holds"]] = [0.9, False]
    table.write(broken, tmp_path / "rows.tsv")
    drawn = {name: tmp_path / f"{name}.svg" for name in figures.FIGURES}
    for name, path in drawn.items():
        write_figure(getattr(figures, name)(broken), [path])
    page.write_calibration_page(tmp_path / "rows.tsv", drawn, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert text.count("<svg") == 3
    assert all(f">{escape(figure)}</h2>" in text for figure in set(short.figure))
    assert f"{escape(broken.setting[worst])}: 0.9, at most" in text
    assert text.count("does not hold") == 2 + (short.holds == False).sum() + 1  # noqa: E712  a link, the heading, and one tag
