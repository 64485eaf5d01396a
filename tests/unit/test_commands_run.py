"""`pertprobe run` and its kin, over a child that says what Snakemake 9.27 says, and fails or waits as asked."""

import hashlib
import io
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from rich.console import Console
from typer.testing import CliRunner

from pertprobe import made
from pertprobe.errors import PertprobeError
from pertprobe.files import write_json
from pertprobe.identity import VERIFY, KnownFiles
from pertprobe.probes.declaration import probe_names
from pertprobe.workflow.commands import app, child, progress, stages
from pertprobe.workflow.commands.failures import last_words
from pertprobe.workflow.commands.figures import redrawing
from pertprobe.workflow.commands.found import found, kind
from pertprobe.workflow.commands.heard import Heard
from pertprobe.workflow.commands.pace import Pace, in_words
from pertprobe.workflow.commands.place import workflow_folder
from pertprobe.workflow.commands.request import Request, split
from pertprobe.workflow.commands.verifying import unlike
from pertprobe.workflow.config import whole_schema
from pertprobe.workflow.given_content import held_by_all
from pertprobe.workflow.settled import settled

ROOT = Path(__file__).resolve().parents[2]
PLAN = """\
Using workflow specific profile profiles/default for setting default command line arguments.
Building DAG of jobs...
Job stats:
job                count
---------------  -------
check_inputs           1
train                  2
measure                4
knockout               1
all                    1
total                  9

Select jobs to execute...
Execute 1 jobs...
"""
CHECKED = """\
[Sun Nov 29 23:48:28 2026]
localrule check_inputs:
    output: results/mine/inputs/checked.json
    log: results/mine/logs/check_inputs/check_inputs.log
    jobid: 8
    benchmark: results/mine/benchmarks/check_inputs/check_inputs.tsv
    reason: Missing output files: results/mine/inputs/checked.json
    resources: tmpdir=/tmp
[Sun Nov 29 23:48:39 2026]
Finished jobid: 8 (Rule: check_inputs)
1 of 9 steps (11%) done
"""
MEASURES = """\
[Sun Nov 29 23:48:44 2026]
rule measure:
    input: results/mine/trained/a
    output: results/mine/measurements/knockout/shards/a/0-of-1.nc
    log: results/mine/logs/measure/knockout/a.log
    jobid: 10
    wildcards: probe=knockout, model=a
    resources: tmpdir=/tmp, gpu=0
"""
FAILS = """\
RuleException:
CalledProcessError in file "/somewhere/rules/probes.smk", line 29:
Command 'set -euo pipefail;  python /somewhere/.snakemake/scripts/tmp.measure.py' returned non-zero exit status 1.
[Sun Nov 29 23:59:05 2026]
Error in rule measure:
    message: None
    jobid: 10
    input: results/mine/trained/a
    log: results/mine/logs/measure/knockout/a.log (check log file(s) for error details)
"""
ENDS = """\
Shutting down, this might take some time.
Exiting because a job execution failed. Look above for error messages
WorkflowError:
At least one job did not complete successfully.
"""
WRONG = """\
Using workflow specific profile profiles/default for setting default command line arguments.
WorkflowError in file "/somewhere/rules/common.smk", line 23:
2 faults:
  - models.m: unknown key 'splitt'; did you mean 'split'?
  - models.m.context: 'b' is not under cells (found: a).
  File "/somewhere/rules/common.smk", line 48, in <module>
  File "/somewhere/rules/common.smk", line 23, in checked_config
"""
MISSING = """\
Building DAG of jobs...
MissingInputException in rule draw in file "/somewhere/rules/probes.smk", line 189:
Missing input files for rule draw:
    output: results/mine/figures/knockout.svg
    wildcards: probe=knockout
    affected files:
        results/mine/measurements/knockout/a.nc
"""
LOCKED = """\
Building DAG of jobs...
LockException:
Error: Directory cannot be locked. Please make sure that no other Snakemake process writes in the following directory:
/here
If you are sure that no other instances of snakemake are running on this directory, use the --unlock argument.
"""
FAKE = """\
import os, pathlib, signal, sys, time
here = pathlib.Path(__file__).parent
(here / "called").write_text("\\n".join(sys.argv[1:]))
(here / "verify").write_text(os.environ.get("PERTPROBE_VERIFY", ""))
came = []
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, frame: came.append(number))
print((here / "says").read_text(), end="", flush=True)
if ask := int(os.environ.get("ASK", "0")):
    os.kill(os.getppid(), ask)  # the user presses Ctrl-C
    for _ in range(1000):
        time.sleep(0 if came else 0.01)
    (here / "came").write_text(str([int(number) for number in came]))
sys.exit(int(os.environ.get("STATUS", "0")))
"""


@pytest.fixture
def user(tmp_path, monkeypatch):
    """Return a function that runs a command in a folder with mine.yaml, whose Snakemake says what it is given."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("run: mine\n")
    (tmp_path / "fake.py").write_text(FAKE)
    monkeypatch.setattr(child, "COMMAND", (sys.executable, str(tmp_path / "fake.py")))

    def use(*arguments, says="", status=0, ask=0):
        (tmp_path / "says").write_text(says)
        monkeypatch.setenv("STATUS", str(status))
        monkeypatch.setenv("ASK", str(int(ask)))
        return CliRunner().invoke(app, [*map(str, arguments)])

    return use


def called(folder):
    return (folder / "called").read_text().splitlines()


def heard_of(text):
    heard = Heard()
    for line in text.splitlines(keepends=True):
        heard.hear(line)
    return heard


def rules():
    """Return the names of all rules of the workflow; those that there is one of for each probe by their beginning."""
    text = "".join(path.read_text() for path in [ROOT / "Snakefile", *sorted((ROOT / "rules").glob("*.smk"))])
    named = re.findall(r"^ *rule (\w+):", text, re.MULTILINE) + re.findall(
        r"^use rule \w+ as (\w+)", text, re.MULTILINE
    )
    return {*named, *re.findall(r'name:\s+f"(\w+)\{each\}"', text)}


def test_every_rule_of_the_workflow_is_of_a_stage_and_every_rule_of_a_stage_is_in_the_workflow():
    known = {rule for each in stages.RULES.values() for rule in each}
    assert rules() == known | set(stages.TARGETS)


def test_a_rule_belongs_to_one_stage():
    every = [rule for each in stages.RULES.values() for rule in each]
    assert len(every) == len(set(every))


def test_rules_named_after_probes_have_no_work_of_their_own():
    assert {stages.stage_of(probe) for probe in probe_names()} == {""}
    assert stages.stage_of("tabulate_knockout_linearity") == stages.TESTING
    assert stages.stage_of("never_heard_of") == stages.OTHER


def test_the_plan_is_heard_in_stages():
    heard = heard_of(PLAN)
    assert {stage: pace.planned for stage, pace in heard.paces.items()} == {
        stages.READING: 1,
        stages.TRAINING: 2,
        stages.MEASURING: 4,
    }
    assert heard.total == 7  # all and knockout only name what is to be made


def test_what_is_begun_and_done_is_heard():
    heard = heard_of(PLAN + CHECKED + MEASURES)
    assert (heard.done, heard.running) == (1, {"10"})
    assert heard.jobs["10"].wildcards == "probe=knockout, model=a"


def test_a_failure_is_heard_with_its_wildcards_and_its_log():
    failed = heard_of(PLAN + CHECKED + MEASURES + FAILS + ENDS).failed["10"]
    assert (failed.rule, failed.wildcards) == ("measure", "probe=knockout, model=a")
    assert failed.log == "results/mine/logs/measure/knockout/a.log"
    assert failed.how == "returned non-zero exit status 1"


def test_a_job_that_is_tried_again_has_not_failed():
    heard = heard_of(
        PLAN + MEASURES + FAILS + "Trying to restart job 10.\n" + MEASURES + "Finished jobid: 10 (Rule: measure)\n"
    )
    assert (heard.failed, heard.running, heard.done) == ({}, set(), 1)


def test_the_jobs_of_a_group_that_failed_are_heard():
    text = "    message: None\n    jobs:\n        rule seen:\n            jobid: 3\n"
    text += "            log: a.log (check log file(s) for error details)\n"
    assert heard_of(text).failed["3"].log == "a.log"


def test_lines_that_nobody_knows_change_nothing():
    assert heard_of("\n".join(["", "{}", "    jobid: x: y", "rule of thumb", "1 of 2", "total 3", "é"])).total == 0


def test_a_finished_run_ends_with_what_was_found_and_where_the_report_is(user, tmp_path):
    tables(tmp_path / "results/mine")
    result = user("run", "--config", "mine.yaml", says=PLAN + CHECKED)
    assert result.exit_code == 0
    assert "The answer, over all perturbed genes: a and b: a lookup by the perturbation's name." in result.stdout
    assert "Report: results/mine/report.html" in result.stdout
    assert "reading inputs: 1 job in 0 s" in result.stderr
    assert (tmp_path / "results/mine/logs/snakemake.log").read_text() == PLAN + CHECKED


def test_a_run_of_targets_says_nothing_of_the_whole(user, tmp_path):
    tables(tmp_path / "results/mine")
    result = user("run", "--config", "mine.yaml", "knockout", says=PLAN)
    assert (result.exit_code, result.stdout) == (0, "Results: results/mine\n")


@pytest.fixture
def simulated(tmp_path):
    """A config that makes its cells and models itself, so that no file is read."""
    demo = yaml.safe_load((workflow_folder() / "config" / "config.yaml").read_text())
    (tmp_path / "simulated.yaml").write_text(yaml.safe_dump(demo | {"run": "made"}))
    return "simulated.yaml"


def test_a_pilot_runs_a_config_of_its_own_and_says_what_the_run_will_cost(user, simulated, tmp_path):
    tables(tmp_path / "results/made_pilot")
    result = user("run", "--pilot", "--config", simulated, "--cores", 1, says=PLAN + CHECKED)
    assert result.exit_code == 0, result.stdout + result.stderr
    assert called(tmp_path)[2:] == ["--configfile", "results/made_pilot/pilot.yaml", "--cores", "1"]
    pilot = yaml.safe_load((tmp_path / "results/made_pilot/pilot.yaml").read_text())
    assert (pilot["run"], pilot["pilot"], pilot["statistics"]["permutations"]) == ("made_pilot", True, 199)
    assert "In a pilot, which is no result: the answer, over all perturbed genes: " in result.stdout
    assert "Report: results/made_pilot/report.html" in result.stdout
    assert "The whole run:" in result.stdout
    assert "CPU time of all jobs: " in result.stdout
    assert not (tmp_path / "results/made").exists()


def test_a_pilot_of_targets_says_nothing_of_the_whole(user, simulated):
    result = user("run", "--pilot", "--config", simulated, "knockout", says=PLAN)
    assert result.exit_code == 0
    assert "Results: results/made_pilot\n" in result.stdout
    assert "The whole run" not in result.stdout


def test_a_pilot_that_fails_ends_as_a_run_that_fails(user, simulated):
    result = user("run", "--pilot", "--config", simulated, says=PLAN + CHECKED + MEASURES + FAILS + ENDS, status=1)
    assert result.exit_code == 3
    assert "The whole run" not in result.stdout


def test_a_pilot_of_a_broken_config_names_its_faults_and_runs_nothing(user, tmp_path):
    result = user("run", "--pilot", "--config", "mine.yaml")
    assert result.exit_code == 1
    assert "missing (has 'run')" in result.stderr
    assert not (tmp_path / "called").exists()
    assert not (tmp_path / "results").exists()


def test_a_pilot_has_no_pilot(user, simulated):
    user("run", "--pilot", "--config", simulated, "--dry-run", says=PLAN)
    result = user("run", "--pilot", "--config", "results/made_pilot/pilot.yaml")
    assert result.exit_code == 1
    assert "run: made_pilot is a pilot itself. Give the run's own config" in result.stderr


def test_snakemake_is_called_as_users_call_it(user, tmp_path):
    user("run", "--config", "mine.yaml", "--cores", 3, "knockout", "--", "--keep-going", says=PLAN)
    snakefile = str(workflow_folder() / "Snakefile")
    words = ["--snakefile", snakefile, "--configfile", "mine.yaml", "--cores", "3", "--keep-going", "--", "knockout"]
    assert called(tmp_path) == words


def test_later_configs_win(tmp_path):
    for name, run in (("one", "first"), ("two", "second"), ("three", None)):
        (tmp_path / name).write_text(f"run: {run}\n" if run else "seed: 1\n")
    assert Request([tmp_path / name for name in ("one", "two", "three")]).results == Path("results/second")
    assert Request([tmp_path / "three"]).results == Path("results/demo")


def test_words_behind_a_dash_are_for_snakemake():
    assert split(["a", "b", "--forcerun", "draw"]) == (["a", "b"], ["--forcerun", "draw"])
    assert split(["a"]) == (["a"], [])
    assert split(None) == ([], [])


def test_a_cluster_counts_its_jobs_itself(tmp_path):
    assert "--cores" not in Request([], profile="slurm").arguments
    assert "--cores" in Request([], profile="gpu").arguments
    assert "--cores" in Request([], profile="slurm", cores=2).arguments


def test_an_unknown_profile_is_refused_with_those_there_are():
    with pytest.raises(PertprobeError, match=r"profile 'slum'.*kubernetes, slurm.*Did you mean 'slurm'"):
        Request([], profile="slum").arguments  # noqa: B018


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "mine.yaml: cannot be read"),
        ("a: [", "mine.yaml, line 2, column 1: is no YAML"),
        ("- a", "mine.yaml: holds no keys"),
        ("a: 1\nb: 2\na: 3", "mine.yaml, line 3: the key 'a' stands twice in one section (first in line 1). Leave one"),
        ("run: x\npathvars: 5", "pathvars: 5 is no section of Snakemake's path variables"),
    ],
)
def test_a_config_that_cannot_be_read_is_refused(user, tmp_path, text, words):
    (tmp_path / "mine.yaml").unlink()
    if text:
        (tmp_path / "mine.yaml").write_text(text)
    result = user("run", "--config", "mine.yaml")
    assert result.exit_code == 1
    assert words in result.stderr
    assert not (tmp_path / "called").exists()


def test_a_wrong_config_is_told_in_words_and_leaves_nothing(user, tmp_path):
    result = user("run", "--config", "mine.yaml", says=WRONG, status=1)
    assert result.exit_code == 1
    assert "2 faults:\n  - models.m: unknown key 'splitt'; did you mean 'split'?" in result.stderr
    assert not {word for word in ("File", "WorkflowError", "Traceback") if word in result.stderr}
    assert not (tmp_path / "results").exists()


def test_what_failed_is_told_without_traceback(user, tmp_path):
    log = tmp_path / "results/mine/logs/measure/knockout/a.log"
    log.parent.mkdir(parents=True)
    log.write_text(
        "12:00:00 begun\nTraceback (most recent call last):\n  File \"x.py\", line 1\n    y\nKeyError: 'z'\n"
    )
    result = user("run", "--config", "mine.yaml", says=PLAN + CHECKED + MEASURES + FAILS + ENDS, status=1)
    assert result.exit_code == 3
    assert "1 job failed:\n  measure (probe=knockout, model=a)\n    KeyError: 'z'\n" in result.stderr
    assert "The whole log: results/mine/logs/measure/knockout/a.log\n" in result.stderr
    assert "1 of 7 jobs are done and kept" in result.stderr
    assert "All that Snakemake said: results/mine/logs/snakemake.log" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_job_killed_for_memory_says_so(user):
    killed = FAILS.replace("returned non-zero exit status 1", "died with <Signals.SIGKILL: 9>")
    result = user("run", "--config", "mine.yaml", says=PLAN + MEASURES + killed + ENDS, status=1)
    assert "memory runs out" in result.stderr


def test_a_snakemake_that_dies_is_an_end_too(user):
    result = user("run", "--config", "mine.yaml", says=PLAN + CHECKED, status=9)
    assert result.exit_code == 3
    assert "Snakemake ended early" in result.stderr


@pytest.fixture
def heeded():
    """Heed what asks to stop, as on a terminal: behind nohup, or in the background of a script, some is ignored."""
    before = {
        number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(("asked", "passed_on", "status"), [(2, 2, 130), (15, 15, 143), (1, 15, 129)])
def test_what_asks_us_to_stop_is_passed_on_and_waited_for(user, tmp_path, heeded, asked, passed_on, status):
    result = user("run", "--config", "mine.yaml", says=PLAN + CHECKED + MEASURES, status=1, ask=asked)
    assert result.exit_code == status
    assert (tmp_path / "came").read_text() == f"[{passed_on}]"
    assert "Stopped, as you asked.\n1 of 7 jobs are done and kept" in result.stderr


def test_a_locked_folder_has_a_remedy(user):
    result = user("run", "--config", "mine.yaml", says=LOCKED, status=1)
    assert result.exit_code == 1
    assert "`-- --unlock`" in result.stderr


def test_a_target_that_nothing_makes_is_refused(user):
    says = "MissingRuleException:\nNo rule to produce knokout (if you use input functions make sure that ...).\n"
    result = user("run", "--config", "mine.yaml", "knokout", says=says, status=1)
    assert result.exit_code == 1
    assert "target 'knokout': nothing makes it." in result.stderr
    assert "Did you mean 'knockout'?" in result.stderr


def test_arguments_that_snakemake_does_not_know_are_refused(user):
    result = user(
        "run", "--config", "mine.yaml", "--", "--no", says="snakemake: error: unrecognized arguments: --no\n", status=2
    )
    assert (result.exit_code, "behind --: unrecognized arguments: --no" in result.stderr) == (1, True)


def test_what_jobs_say_alike_is_said_once(user, tmp_path):
    for name in "ab":
        log = tmp_path / f"results/mine/logs/measure/knockout/{name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("x" * 1000 + "\n")
    other = FAILS.replace("jobid: 10", "jobid: 11").replace("a.log", "b.log")
    result = user("run", "--strict", "--config", "mine.yaml", says=PLAN + MEASURES + FAILS + other + ENDS, status=1)
    assert "2 jobs failed:\n  measure (probe=knockout, model=a)\n  measure\n    xxx" in result.stderr
    assert result.stderr.count("xxx ...") == 1


def test_verbose_shows_what_snakemake_says(user):
    assert PLAN + CHECKED in user("run", "--config", "mine.yaml", "--verbose", says=PLAN + CHECKED).stderr


def test_a_dry_run_counts_and_keeps_nothing(user, tmp_path):
    result = user("run", "--config", "mine.yaml", "--dry-run", says=PLAN)
    assert result.stdout == "7 jobs to do: reading inputs 1, training 2, measuring 4.\n"
    assert "--dry-run" in called(tmp_path)
    assert not (tmp_path / "results").exists()


def test_nothing_to_do_is_said(user):
    says = "Building DAG of jobs...\nNothing to be done (all requested files are present and up to date).\n"
    assert "Nothing to do: all is there." in user("run", "--config", "mine.yaml", says=says).stderr


def test_the_demo_is_the_config_of_the_workflow(user, tmp_path):
    result = user("demo", "--cores", 1, says=PLAN)
    assert result.exit_code == 0
    assert str(workflow_folder() / "config/config.yaml") in called(tmp_path)
    assert (tmp_path / "results/demo/logs/snakemake.log").is_file()


def test_the_report_is_made_alone_and_opened(user, tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", lambda address: opened.append(address) or True)
    tables(tmp_path / "results/mine")
    result = user("report", "--config", "mine.yaml", "--open", says=PLAN)
    assert called(tmp_path)[-2:] == ["--", "results/mine/report.html"]
    assert "Report: results/mine/report.html" in result.stdout
    assert opened == [(tmp_path / "results/mine/report.html").as_uri()]


def test_figures_are_drawn_by_rules_that_do_not_measure():
    words = redrawing([], 1).arguments
    allowed = words[words.index("--allowed-rules") + 1 : words.index("--forcerun")]
    told = {stages.stage_of(rule) for rule in allowed}
    assert told == {stages.VERDICTS, stages.DRAWING, ""}
    assert words[-2:] == ["--", "figures"]


def test_figures_without_measurements_are_refused_in_words(user):
    result = user("figures", "--config", "mine.yaml", says=MISSING, status=1)
    assert result.exit_code == 1
    assert "first missing: results/mine/measurements/knockout/a.nc" in result.stderr
    assert "pertprobe run --config mine.yaml" in result.stderr


def tables(results):
    """Write what a run leaves."""
    results.mkdir(parents=True)
    (results / "report.html").write_text("<html>")
    answers = [
        "program role model answer reason",
        "- subject a lookup x",
        "- subject b lookup x",
        "- network a mechanism x",
    ]
    verdicts = [
        "verdict reason",
        "pass -",
        "fail -",
        "not_evaluable 2_genes,_3_needed;_x",
        "not_evaluable 0_genes,_3_needed",
    ]
    readings = [
        "program model reference probe representation routing causal",
        "p a - - pass fail not_evaluable",
        "p b - - pass mixed not_evaluable",
        "q a - - fail pass not_evaluable",
        "p a b - both_contexts - -",
        "- a - - - - -",
    ]
    for name, lines in (("answers", answers), ("verdicts", verdicts), ("readings", readings)):
        cells = [[cell.replace("_", " ") if cell != "-" else "" for cell in line.split(" ")] for line in lines]
        (results / f"{name}.tsv").write_text("".join("\t".join(row) + "\n" for row in cells))


def test_what_was_found_is_three_sentences(tmp_path):
    tables(tmp_path / "results")
    assert found(tmp_path / "results") == [
        "The answer, over all perturbed genes: a and b: a lookup by the perturbation's name.",
        "Programs that pass, of those that could be asked (2 in all): representation 1 of 2 in a, 1 of 1 in b; "
        "routing 1 of 2 in a, 0 of 1 in b; causal none could be asked.",
        "2 of 4 questions about programs could not be answered; the commonest reason (2 times): "
        "too few genes, 3 needed.",
    ]


def test_reasons_of_a_kind_are_counted_together():
    assert kind("power: 0.3 (0.1 to 2.2)") == kind("power: 1.0 (0.1 to 3.2)")
    assert kind("not evaluable: model has no layers") == "model has no layers"
    assert len(kind("word " * 100)) < 150


def test_the_mistake_of_the_user_is_told_in_whole(tmp_path):
    (tmp_path / "log").write_text("12:00 begun\nError: 2 faults:\n  - a\n  - b\n")
    assert last_words(tmp_path / "log") == ["Error: 2 faults:", "  - a", "  - b"]
    assert last_words(tmp_path / "absent") == []


def test_the_pace_of_a_stage_counts_only_time_in_which_it_ran():
    pace = Pace(planned=4)
    assert pace.left(0) is None
    pace.start(0)
    pace.start(5)
    pace.end(10)
    pace.end(20)
    assert pace.seconds(100) == 20
    assert (pace.rate(100), pace.left(100)) == (6, 20)
    pace.start(100)
    pace.end(110, well=False)
    assert (pace.done, pace.seconds(200)) == (2, 30)


def test_times_are_said_as_people_say_them():
    assert [in_words(seconds) for seconds in (0.4, 59, 60, 3599, 4800)] == [
        "0 s",
        "59 s",
        "1 min",
        "1 h",
        "1 h 20 min",
    ]


def test_plain_lines_come_now_and_then_and_at_the_end_of_a_stage():
    now, said = [0.0], []
    heard = Heard(clock=lambda: now[0])
    lines = progress.PlainLines(heard, said.append)
    finished = "Finished jobid: {} (Rule: measure)\n"
    script = [(0, PLAN), (0, CHECKED), (1, MEASURES), (9, finished.format(10)), (10, MEASURES.replace("10", "11"))]
    script += [(61, finished.format(11)), (61, MEASURES.replace("10", "12")), (99, "x\n")]
    for time, text in script:
        for line in text.splitlines(keepends=True):
            now[0] = time
            heard.hear(line)
            lines.look()
    assert said == [
        "7 jobs to do",
        "reading inputs: 1 job in 0 s",
        "measuring: 2 of 4 jobs, 1 a minute, about 2 min left",
    ]


def test_a_terminal_shows_a_bar_per_stage():
    heard, shown = Heard(), io.StringIO()
    console = Console(file=shown, force_terminal=True, width=100, color_system=None)
    with progress.shown(heard, console) as look:
        for line in (PLAN + CHECKED).splitlines(keepends=True):
            heard.hear(line)
            look()
    last = shown.getvalue().removesuffix("\x1b[?25h").rstrip().splitlines()[-3:]
    assert [stage in line for stage, line in zip(heard.paces, last, strict=True)] == [True] * 3
    assert "1 job in" in last[0]
    assert "0 of 4 jobs" in last[2]


def test_help_loads_nothing_heavy():
    heavy = ("torch", "pandas", "numpy", "snakemake", "anndata", "jsonschema", "yaml")
    check = f"import sys, pertprobe.workflow.commands; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", check], capture_output=True, text=True).stdout.strip() == "[]"


@pytest.mark.parametrize("asked", [False, True])
def test_with_verify_all_processes_of_a_run_read_files_whole(user, tmp_path, monkeypatch, asked):
    monkeypatch.setenv(VERIFY, "")
    user("run", "--config", "mine.yaml", "--dry-run", *(["--verify"] if asked else []), says=PLAN)
    assert (tmp_path / "verify").read_text() == ("1" if asked else "")


def test_a_damaged_result_is_told_of_when_the_run_is_over(user):
    damaged = "results/mine/evidence/knockout.tsv is damaged: it has 10 bytes, and 20 were written."
    again = f"{damaged} It is made again, with all that was made of it."
    result = user("run", "--config", "mine.yaml", "--dry-run", says=f"{again}\n{PLAN}")
    assert again in result.stderr
    assert heard_of(f"{again}\n{PLAN}").total == heard_of(PLAN).total


@pytest.fixture
def once(tmp_path, monkeypatch):
    """Return the folder of a run that was made of given files."""
    monkeypatch.chdir(tmp_path)
    for name in (
        "cells.h5ad",
        "sets.gmt",
        *(f"model/{each}" for each in ("config.yaml", "final.ckpt", "var_dims.pkl")),
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    cells = {"path": "cells.h5ad", "context_column": "c", "context": "a", "perturbation_column": "p", "control": "ntc"}
    config = {"run": "mine", "cells": {"here": cells}, "models": {"m": {"path": "model", "context": "here"}}}
    config |= {"programs": {"gmt": ["sets.gmt"]}, "probes": {"pert_embedding": {}}}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(config))
    results = tmp_path / "results/mine"
    whole = settled(config, whole_schema(workflow_folder() / "config" / "schema.yaml"))
    write_json({"given": held_by_all(whole, KnownFiles().sha256)}, results / "checks.json")
    (results / "verdicts.tsv").write_text("verdict\npass\n")
    made.record([results / "verdicts.tsv"], results)
    return tmp_path


def test_nothing_differs_from_a_run_that_is_as_it_was(once):
    assert unlike([once / "mine.yaml"]) == []


def test_what_differs_from_a_run_is_named(once):
    (once / "model/final.ckpt").write_text("other")
    (once / "results/mine/verdicts.tsv").write_text("verdict\nfail\n")
    assert unlike([once / "mine.yaml"]) == [
        "models.m/final.ckpt is not what the run was made from. The next run makes anew what depends on it",
        "results/mine/verdicts.tsv is damaged: its 13 bytes are not those that were written (SHA-256 "
        f"{hashlib.sha256(b'verdict' + bytes([10]) + b'pass' + bytes([10])).hexdigest()}). The next run makes it again",
    ]


def test_before_there_is_a_run_nothing_differs_from_it(once):
    shutil.rmtree(once / "results")
    assert unlike([once / "mine.yaml"]) == []
