"""The body of docs/concepts.md that probes declare: what each asks, of what, and what a model must offer."""

from pertprobe.probes.declaration import Declaration, all_declared

LEVELS = {
    "representation": "what the model holds",
    "routing": "which way it goes through the model",
    "causal": "what changing the cell does",
    "none": "what it answers to",
}
"""Level -> what its probes ask about."""
NEEDS = {
    "predict": "predictions",
    "gene_space": "genes in and genes out",
    "stages": "its layers",
    "gradient": "derivatives",
    "set_function": "no dependence on the order of cells",
    "affine_map": "factors that can be frozen",
}
"""Capability -> words."""
UNITS = {
    "perturbation": "perturbations",
    "gene": "genes",
    "panel": "perturbations of a panel",
    "regulator": "regulators of a panel",
}
HEAD = "| probe | asks | unit | a model must offer |\n|---|---|---|---|\n"


def body() -> str:
    """Return a table of probes for each level."""
    probes = all_declared().values()
    return "\n".join(_level(level, [probe for probe in probes if probe.level == level]) for level in LEVELS)


def _level(level: str, probes: list[Declaration]) -> str:
    title = "Description" if level == "none" else f"{level.capitalize()} level"
    rows = "".join(_row(probe) for probe in sorted(probes, key=lambda probe: not probe.counted))
    return f"### {title}: {LEVELS[level]}\n\n{HEAD}{rows}"


def _row(probe: Declaration) -> str:
    name = f"[{probe.name}](configuration.md#{probe.name})"
    starred = name if probe.counted or probe.level == "none" else f"{name} \\*"
    needs = ", ".join(NEEDS[need] for need in NEEDS if need in probe.needs)
    asks = f"{probe.question} On pairs of {' and '.join(probe.pairs)}." if probe.of_pairs else probe.question
    return f"| {starred} | {asks} | {UNITS[probe.unit]} | {needs} |\n"
