"""A change reruns what depends on it and nothing else."""

import ast
from collections import Counter

import pytest
import yaml
from workflow_project import tiny

from pertprobe import made

JUDGING = Counter(["verdicts", "readings", "draw_verdicts", "report", "run_times"])
RECHECKING = Counter(["recheck_inputs", "provenance", "quality_page"])
"""The page shows the census of the inputs."""
TESTING = Counter(test=3, gather_evidence=1, draw=1)
"""Of one probe, its pairs apart."""
COMPARING = Counter(compare=5)
"""Of all probes: two have a question about both pairs, knock-out about that of contexts, the Jacobian about none."""
TESTED = JUDGING + Counter(["draw_controls", "scorecard", "draw_scorecard"])
"""What follows any change of the evidence."""
DERIVING = Counter(measure_derived=1)
"""Of one probe: the models planted beside all models."""
TABULATING = Counter(["tabulate_knockout", "tabulate_pert_embedding"])
"""Of the probes that have further tables."""
MEASURING = Counter(measure=3, gather=3, rank_targeted_jacobian=3)
PROBES = ("sae_features", "pert_embedding", "targeted_jacobian", "knockout")


def times(n, jobs):
    """Return the jobs n times."""
    return Counter({rule: n * count for rule, count in jobs.items()})


def changed(path, name):
    """Change what a function does, as far as its syntax tells, and leave its results alone."""
    lines = path.read_text().splitlines()
    function = next(node for node in ast.parse("\n".join(lines)).body if getattr(node, "name", "") == name)
    last = function.body[-1]
    lines.insert(last.lineno - 1, " " * last.col_offset + "_ = 'changed'")
    path.write_text("\n".join(lines) + "\n")


def of_probes(plan, folder):
    """Return the probes for which a file below `folder` would be written."""
    return {name.split("/")[1].removesuffix(".tsv") for name in plan.outputs if name.startswith(f"{folder}/")}


def test_without_a_change_there_is_nothing_to_do(demo):
    assert demo.plan(tiny()).jobs == Counter()


def test_another_budget_of_memory_makes_nothing_again(demo):
    assert demo.plan(tiny() | {"memory_gb": 0.5}).jobs == Counter()


def test_a_changed_threshold_only_judges_again_and_marks_its_figure(demo):
    config = tiny()
    config["thresholds"]["sae_features"][1][2] = 0.2
    assert demo.plan(config).jobs == JUDGING + Counter(["draw"])


def test_the_preset_published_only_judges_again_and_marks_the_figures(demo):
    published = yaml.safe_load((demo.folder / "config/published.yaml").read_text())
    assert demo.plan(tiny() | published).jobs == JUDGING + Counter({"draw": len(tiny()["probes"])})


def test_another_effect_of_interest_only_judges_again(demo):
    assert demo.plan(tiny() | {"power": {"power": 0.9}}).jobs == JUDGING


def test_other_words_of_readings_are_only_read_again(demo):
    plan = demo.plan(tiny() | {"reading_words": {"one": "marginal"}})
    assert plan.jobs == Counter(["readings", "report", "run_times"])


COPYING = Counter(measure=12, gather=12, spaces=1)
"""Every measurement that holds copies, and what is made of it."""


@pytest.mark.parametrize("controls", [{"redrawn": 3}, {"cascade": False}], ids=str)
def test_other_copies_measure_again_what_has_copies_and_no_more(demo, controls):
    plan = demo.plan(tiny() | {"controls": tiny()["controls"] | controls})
    again = COPYING + TABULATING + Counter(rank_targeted_jacobian=3)
    assert plan.jobs == TESTED + times(4, TESTING) + COMPARING + again
    assert of_probes(plan, "measurements") == set(PROBES)  # not delta_y
    assert not any("derived" in name for name in plan.outputs)


def test_another_effect_of_interest_measures_the_planted_models_again_and_tests(demo):
    plan = demo.plan(tiny() | {"power": {"d": 3}})
    assert plan.jobs == TESTED + times(4, TESTING + DERIVING) + COMPARING


def test_without_planted_models_nothing_is_measured(demo):
    plan = demo.plan(tiny() | {"controls": tiny()["controls"] | {"planted": False}})
    assert plan.jobs == TESTED + times(4, TESTING) + COMPARING


def test_other_limits_of_programs_measure_no_model_again(demo):
    config = tiny()
    config["programs"]["min_perturbations"] = 2
    plan = demo.plan(config)
    own = TABULATING + Counter(program_quality=3, evaluability=1)
    assert plan.jobs == TESTED + times(4, TESTING + DERIVING) + COMPARING + RECHECKING + own


def test_changed_targets_of_a_panel_measure_only_the_jacobian_again(demo):
    config = tiny()
    config["panels"]["program_1"]["targets"].pop()
    plan = demo.plan(config)
    assert plan.jobs == TESTED + RECHECKING + TESTING + MEASURING + DERIVING + Counter(["evaluability"])
    assert of_probes(plan, "measurements") == of_probes(plan, "evidence") == {"targeted_jacobian"}


def test_changed_perturbations_of_a_panel_measure_no_model_again(demo):
    config = tiny()
    config["panels"]["program_1"]["perturbations"] = ["g001", "g002", "g003"]
    plan = demo.plan(config)
    assert plan.jobs == TESTED + RECHECKING + TESTING + DERIVING + Counter(["evaluability"])
    assert of_probes(plan, "evidence") == {"targeted_jacobian"}


def test_a_changed_setting_of_one_probe_leaves_the_others_alone(demo):
    config = tiny()
    config["probes"]["knockout"]["value"] = "mean"
    plan = demo.plan(config)
    again = Counter(compare=1, measure=3, gather=3, spaces=1, rivals=1, tabulate_knockout=1)
    assert plan.jobs == TESTED + TESTING + DERIVING + again
    assert of_probes(plan, "evidence") == {"knockout"}


def test_another_model_measures_nothing_of_the_others_again(demo):
    config = tiny()
    config["models"]["another"] = config["models"]["a_fewshot"] | {"regime": "unknown"}
    outputs = demo.plan(config).outputs
    measured = {name for name in outputs if name.startswith(("measurements", "trained", "sae"))}
    measured |= {name for name in outputs if name.startswith("models") and not name.endswith("card.json")}
    assert measured
    again = [name for name in measured if "another" not in name]
    assert [name for name in again if "/derived/" not in name] == []  # planted models of all are one job


def test_more_permutations_measure_nothing_again(demo):
    config = tiny()
    config["statistics"]["permutations"] = 299
    plan = demo.plan(config)
    assert not {
        rule for rule in plan.jobs if rule.startswith(("measure", "train", "gather_")) and rule != "gather_evidence"
    }
    assert of_probes(plan, "evidence") == set(config["probes"])


def test_a_changed_gene_set_file_trains_and_measures_no_model_again(finished):
    path = finished.results / "simulated/programs.gmt"
    path.write_text(path.read_text() + "another\tplanted\tg001\tg004\tg007\n")
    made.record([path], finished.results)  # as if a job had made it: what is changed by hand is damaged
    plan = finished.plan(tiny())
    own = TABULATING + Counter(program_quality=3, evaluability=1, quality_page=1, spaces=1)
    assert (
        plan.jobs == TESTED + times(4, TESTING + DERIVING) + COMPARING + own
    )  # a file that the run made is not checked


def test_a_changed_constant_tests_again_only_the_probes_that_use_it(finished):
    path = finished.folder / "src/pertprobe/probes/similarity_questions.py"
    text = path.read_text()
    assert "\nRESAMPLES = " in text
    path.write_text(text.replace("\nRESAMPLES = ", "\nRESAMPLES = 1 + "))
    plan = finished.plan(tiny())
    assert of_probes(plan, "measurements") == set()
    assert of_probes(plan, "evidence") == {"sae_features", "pert_embedding"}


def test_a_changed_jacobian_measures_only_the_jacobian_again(finished):
    changed(finished.folder / "src/pertprobe/interpret/jacobian/panel.py", "panel_jacobian")
    plan = finished.plan(tiny())
    assert plan.jobs == TESTED + TESTING + MEASURING + DERIVING
    assert of_probes(plan, "measurements") == of_probes(plan, "evidence") == {"targeted_jacobian"}


def test_a_changed_check_checks_again_and_runs_nothing_else(finished):
    changed(finished.folder / "src/pertprobe/workflow/checks.py", "check_inputs")
    report = ["report", "run_times"]  # which show where numbers come from, and what the page took
    assert finished.plan(tiny()).jobs == RECHECKING + Counter(report)


def test_comments_and_docstrings_rerun_nothing(finished):
    for path in (finished.folder / "src/pertprobe").rglob("*.py"):
        text = path.read_text()
        head = text.index('"""') + 3
        path.write_text(f"# Another comment.\n{text[:head]}Other words. {text[head:]}\n# And one at the end.\n")
    assert finished.plan(tiny()).jobs == Counter()


def test_a_threshold_that_is_run_judges_anew_and_rewrites_only_the_judgement(finished):
    config = tiny()
    config["thresholds"]["pert_embedding"] = [["q", "<=", 1]]
    before, verdicts = finished.times(), (finished.results / "verdicts.tsv").read_text()
    finished.finish("--cores", "2", "--", "all", "pert_embedding", config=config)
    after = finished.times()
    suffixes = ("svg", "pdf", "png", "caption.txt")
    figures = {f"figures/{name}.{suffix}" for name in ("verdict_matrix", "pert_embedding") for suffix in suffixes}
    rewritten = {name for name, time in after.items() if before.get(name) != time}
    assert rewritten == {"verdicts.tsv", "readings.tsv", "report.html", "run_times.tsv", *figures}
    assert before.keys() == after.keys()
    new = (finished.results / "verdicts.tsv").read_text()
    assert "<= 1" in new
    assert "<= 1" not in verdicts
    assert finished.plan(config).jobs == Counter()
