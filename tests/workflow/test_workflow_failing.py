"""A probe that fails costs its own cell of the tables; the next run tries it again, and all is as if it never had."""

import pandas as pd
import pytest
import yaml
from workflow_project import tiny

FAULTS = {
    "routing_coherence": (
        "measure",
        'if inputs.cells.context == "line_b": raise RuntimeError("no more memory on the card")',
    ),
    "pert_embedding": ("questions", 'if inputs.identity["model"] == "b_fewshot": raise ValueError("odd * names_")'),
    "output_clustering": ("tables", "raise ZeroDivisionError"),
    "targeted_jacobian": ("draw", 'raise OSError("no font")'),
}
"""Probe -> which of its functions fails, and how: where it is measured, tested, tabulated and drawn."""


def inject(project, probe):
    """Write a fault into the first line of a function of a probe; return the file and what it was."""
    name, fault = FAULTS[probe]
    path = project.folder / f"src/pertprobe/probes/{probe}.py"
    text = path.read_text()
    start = text.index(f"def {name}(")
    body = text.index('"""', text.index('"""', start) + 3) + 3
    path.write_text(f"{text[:body]}\n    {fault}\n{text[body:]}")
    return path, text


@pytest.fixture(scope="module")
def failed(every, tmp_path_factory):
    """Run a copy of the demo in which four functions fail; return it, how the run ended, and what the files were."""
    project = every.copy(tmp_path_factory.mktemp("failing") / "project")
    right = dict(inject(project, probe) for probe in FAULTS)
    return project, project.pertprobe("run", "--cores", "2"), right


def verdicts(project):
    return pd.read_csv(project.results / "verdicts.tsv", sep="\t", keep_default_na=False)


def test_the_run_ends_with_its_report_and_says_what_failed(failed):
    _, ended, _ = failed
    assert ended.returncode == 3, ended.stderr
    assert "Report: results/tiny/report.html" in ended.stdout
    said = ended.stderr[ended.stderr.rindex("cost their own cells") :]
    for job in (
        "measure/routing_coherence/b_fewshot/0-of-1",
        "test/pert_embedding/b_fewshot",
        "tabulate_output_clustering",
        "draw/targeted_jacobian",
    ):
        assert f"  {job}" in said
    assert (
        "RuntimeError: no more memory on the card (results/tiny/logs/measure/routing_coherence/b_fewshot/0-of-1.log)"
        in said
    )


def test_what_failed_is_not_evaluable_with_the_error_and_nothing_else_is(failed, every):
    project, _, _ = failed
    before, after = verdicts(every), verdicts(project)
    failing = after[after.reason.str.contains("failed: ")]
    assert set(failing.verdict) == {"not evaluable"}
    assert set(failing.probe) == {"routing_coherence", "pert_embedding"}
    assert all("b_fewshot" in (row.model, row.reference) for row in failing.itertuples())
    others = set(before.probe) - set(failing.probe)
    assert (
        after[after.probe.isin(others)]
        .reset_index(drop=True)
        .equals(before[before.probe.isin(others)].reset_index(drop=True))
    )
    assert "no more memory on the card" in (project.results / "report.html").read_text(encoding="utf-8")
    caption = (project.results / "figures/targeted_jacobian.caption.txt").read_text(encoding="utf-8")
    assert "OSError: no font" in caption


def test_the_next_run_tries_again_and_all_is_as_if_nothing_had_failed(failed, every):
    project, _, right = failed
    for path, text in right.items():
        path.write_text(text)
    ended = project.pertprobe("run", "--cores", "2")
    assert ended.returncode == 0, ended.stderr
    for name in ("verdicts.tsv", "readings.tsv", "scorecard.tsv", "figures/targeted_jacobian.svg"):
        assert (project.results / name).read_bytes() == (every.results / name).read_bytes(), name
    again = project.pertprobe("run", "--dry-run")
    assert again.stdout.startswith("Nothing to do")


def test_what_others_depend_on_ends_the_run_and_so_does_any_failure_of_a_strict_one(demo, tmp_path):
    project = demo.copy(tmp_path / "project")
    (project.folder / "run.yaml").write_text(yaml.safe_dump(tiny(), sort_keys=False))
    inject(project, "targeted_jacobian")
    report = project.results / "report.html"
    report.unlink()
    ended = project.pertprobe("run", "--strict", "--cores", "2")
    assert ended.returncode == 3
    assert "OSError: no font" in ended.stderr
    assert not report.exists()
    stage = project.folder / "src/pertprobe/stages/verdict.py"
    stage.write_text(stage.read_text() + "\nraise RuntimeError('no verdicts')\n")
    ended = project.pertprobe("run", "--cores", "2")
    assert ended.returncode == 3
    assert "no verdicts" in ended.stderr
    assert not report.exists()


def test_a_model_that_cannot_be_made_costs_itself_and_all_others_are_asked(demo, tmp_path):
    project = demo.copy(tmp_path / "project")
    (project.folder / "run.yaml").write_text(yaml.safe_dump(tiny(), sort_keys=False))
    script = project.folder / "scripts/seen.py"
    right = script.read_text()
    fault = 'if snakemake.wildcards.model == "b_fewshot": raise MemoryError("3 GB of codes")'
    script.write_text(right.replace("with job(snakemake):\n", f"with job(snakemake):\n    {fault}\n"))
    ended = project.pertprobe("run", "--cores", "2")
    assert ended.returncode == 3, ended.stderr
    assert "Going on without b_fewshot: nothing can be asked of it. The next run tries again." in ended.stderr
    found = verdicts(project)
    gone = found[found.model == "b_fewshot"]
    why = "failed: MemoryError: 3 GB of codes (results/tiny/logs/seen/b_fewshot.log)"
    assert (set(gone.verdict), set(gone.reason)) == ({"not evaluable"}, {why})
    of_others = found[(found.model == "a_fewshot") & (found.reference == "")]
    assert len(gone) == len(of_others) > 0
    assert "b_fewshot" not in set(found.reference)
    assert set(found[found.verdict != "not evaluable"].model) == {"a_fewshot", "a_zeroshot"}
    assert f"Without the model b_fewshot:</strong> {why}" in (project.results / "report.html").read_text("utf-8")

    script.write_text(right)
    ended = project.pertprobe("run", "--cores", "2")
    assert ended.returncode == 0, ended.stderr
    for name in ("verdicts.tsv", "readings.tsv", "scorecard.tsv"):
        assert (project.results / name).read_bytes() == (demo.results / name).read_bytes(), name
