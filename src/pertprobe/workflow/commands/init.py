"""`pertprobe init`: a config from model directories and a file of cells."""

from pathlib import Path
from typing import Annotated, Any

import typer

from pertprobe.errors import PertprobeError, listed
from pertprobe.workflow.commands.app import command, errors

LEAST = (3, 2)
"""Knocked-down genes of a program; the smaller number where no program has the larger."""

Many = list[str] | None
"""An option that may be given several times, or not at all."""


@command
def init(
    model: Annotated[list[str], typer.Option(help="Directory of a trained model; once for each.")],
    cells: Annotated[list[str], typer.Option(help="An h5ad of their cells; once for each file.")],
    programs: Annotated[list[str], typer.Option(help="Gene sets, GMT or a list of genes; once for each file.")],
    regulons: Annotated[str, typer.Option(help="Table of regulators and targets: panels of known targets.")] = "",
    split: Annotated[
        list[str] | None, typer.Option(help="What a model was trained by (TOML or TSV); once for each.")
    ] = None,
    context: Annotated[
        list[str] | None, typer.Option(help="NAME=LABEL, where nothing says in which context to probe.")
    ] = None,
    kind: Annotated[str, typer.Option(help="Kind of the models, as `kind` in a config.")] = "state",
    run: Annotated[str, typer.Option(help="Name of the run; default: that of the cells.")] = "",
    output: Annotated[str, typer.Option(help="Where the config is written; default: <run>.yaml.")] = "",
    force: Annotated[bool, typer.Option(help="Write over a file that is there.")] = False,
) -> None:
    """Look into models and cells, and write a config that can reach an answer."""
    from pertprobe.workflow.proposal.contexts import bare
    from pertprobe.workflow.proposal.finding import Given, look_into

    run = run or bare(Path(cells[0]).stem)
    path = Path(output or f"{run}.yaml")
    if path.exists() and not force:
        raise PertprobeError(f"{path} is there already. Give another --output, or --force to write over it")
    found = look_into(Given(model, cells, split or (), _contexts(context or []), kind))
    text = _text(run, found, programs, regulons)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    for name, each in found.items():
        typer.echo(
            f"{name}: {each.cells['context']}, {each.regime}, {len(each.perturbations)} perturbations with cells"
        )
        for note in each.notes:
            errors.print(f"  {note}", markup=False)
    typer.echo(f"{path} is written. Look at it, then: pertprobe check --config {path}")


def _contexts(given: list[str]) -> dict[str, str]:
    """Return name -> label of NAME=LABEL."""
    pairs = [each.partition("=") for each in given]
    if wrong := [each for each, (_, sign, _) in zip(given, pairs, strict=True) if not sign]:
        raise PertprobeError(f"--context: NAME=LABEL is expected, found {listed(wrong)}")
    return {name: label for name, _, label in pairs}


def _text(run: str, found: dict[str, Any], programs: list[str], regulons: str) -> str:
    """Return the config, which fits the schema."""
    import yaml

    from pertprobe.data.agent_table import RECOGNISED
    from pertprobe.data.programs import read_programs
    from pertprobe.data.regulons import read_regulons
    from pertprobe.errors import raise_together
    from pertprobe.workflow.commands.place import workflow_folder
    from pertprobe.workflow.config import schema_faults, whole_schema
    from pertprobe.workflow.proposal.config import Asked, config_text
    from pertprobe.workflow.proposal.panels import mean_expression, proposed_panels

    known = {name for each in found.values() for name in (*each.perturbations, *each.model.genes)}
    sets = read_programs(*programs, known_names=known, agents=RECOGNISED)
    perturbed = {name for each in found.values() for name in each.perturbations}
    knocked, least = _askable(sets, perturbed)
    edges = read_regulons(regulons).signs if regulons else None
    targets = {} if edges is None else edges.groupby("source").target.agg(list).to_dict()
    panels = proposed_panels(sets, knocked, mean_expression([each.expression for each in found.values()]), targets)
    text = config_text(run, found, Asked(programs, len(sets), knocked, least, panels, regulons))
    raise_together(schema_faults(yaml.safe_load(text), whole_schema(workflow_folder() / "config" / "schema.yaml")))
    return text


def _askable(sets: Any, perturbed: set[str]) -> tuple[dict[str, list[str]], int]:
    """Return the programs that can be asked about, and how many knocked-down genes each has at least."""
    from pertprobe.workflow.proposal.panels import askable

    for least in LEAST:
        if knocked := askable(sets, perturbed, least):
            return knocked, least
    upper = {name.upper() for name in perturbed}
    alike = sum(len({gene.upper() for gene in genes} & upper) >= LEAST[-1] for genes in sets.values())
    spelled = f" {alike} do in other capitals: spell the genes as the cells do." if alike else ""
    raise PertprobeError(
        f"none of {len(sets)} programs has {LEAST[-1]} genes among the {len(perturbed)} perturbations with cells "
        f"({listed(sorted(perturbed), 5)}).{spelled} Give gene sets that hold them"
    )
