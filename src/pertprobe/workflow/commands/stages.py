"""Which rules of the workflow belong to which stage of a run, in words that need no knowledge of Snakemake."""

READING, TRAINING, MEASURING = "reading inputs", "training", "measuring"
TESTING, VERDICTS, DRAWING = "testing", "verdicts", "figures and report"
OTHER = "other"
"""Of a rule that no stage names; a test sees to it that there is none."""
EACH = "tabulate_"
"""Beginning of the names of rules that there is one of for each probe."""
RULES = {
    READING: ("check_inputs", "recheck_inputs", "simulate", "cells", "seen", "card", "observe", "evaluability"),
    TRAINING: ("train", "rivals", "train_sae", "train_further_sae", "read_sae"),
    MEASURING: (
        *("measure", "gather", "measure_derived", "distribution", "sae_quality", "sae_stability"),
        *("measure_atlas", "join_atlas", "calibrate"),
    ),
    TESTING: (
        *("quality", "program_quality", "test", "compare", "gather_evidence", "rank_targeted_jacobian", EACH),
        "gather_calibration",
    ),
    VERDICTS: ("verdicts", "answers", "readings", "scorecard", "decompose"),
    DRAWING: (
        *("draw", "draw_quality", "draw_verdicts", "draw_scorecard", "draw_controls", "report", "quality_page"),
        *("sensitivity_page", "provenance", "run_times", "calibration_page", "spaces"),
    ),
}
"""Stage -> its rules, in the order of a run."""
STAGES = tuple(RULES)
FIGURES = tuple(rule for rule in RULES[DRAWING] if rule.startswith("draw"))
"""The rules that draw."""
TARGETS = ("all", "figures", "atlas", "calibration")
"""Rules that only name what is to be made: they have no work of their own, as those named after a probe."""
_STAGE = {rule: stage for stage, rules in RULES.items() for rule in rules}


def stage_of(rule: str) -> str:
    """Return the stage of a rule; empty for one that only names what is to be made."""
    if rule in _STAGE:
        return _STAGE[rule]
    if rule.startswith(EACH):
        return _STAGE[EACH]
    return "" if rule in TARGETS or rule in _probes() else OTHER


def _probes() -> tuple[str, ...]:
    from pertprobe.probes.declaration import probe_names

    return tuple(probe_names())
