"""Makes docs/gallery.md and its pictures of a finished run: `make gallery`, or this file with the run's folder.

Every figure of the run is one entry: its picture, what it asks, how it is read, and the caption that the run wrote.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from pertprobe.probes.declaration import declared, probe_names

DOCS = Path(__file__).parent
PICTURES = DOCS / "figures" / "gallery"
WIDE = 1100
"""Width in pixels of a picture of two columns; one of a column is as much smaller as it is on paper."""
DOUBLE = 2161
"""Width in pixels of what a run writes for two columns, 183 mm at 300 dpi."""
COLOURS = 96
"""Colours of a picture: figures have few, and files stay small."""
RUN = {
    "scorecard": ("Score card", "The further to the right, the more of what the data allow; 0 is what a lookup has."),
    "verdict_matrix": ("Verdicts", "Read a row: what every probe says of one program, in words and colours."),
    "controls": ("Controls", "A model should stand beside the mechanism and away from untrained copies and rivals."),
    "cascade": ("Cascade", "Where the curve falls, the stage that was drawn anew had held what the probe finds."),
}
"""Figure of a run -> its heading and how it is read."""
READ = {
    "activation_patching": "A direction that carries the response moves its own program and no other.",
    "cell_diagonal": "As targeted_jacobian, within one cell; the last panel says how much crosses cells.",
    "concept_alignment": "Points right of the grey range: outputs read the direction in which the program lies.",
    "conserved_features": "The further right the model lies of the grey, the more features both contexts share.",
    "detached_jacobian": "Compare what comes through the cells with what comes through the perturbation's code.",
    "input_sensitivity": "Where noise of the size of a cell set changes the output, derivatives mean little.",
    "intervention_fidelity": "What is right of the rivals is more than co-variation foretells.",
    "jacobian_divergence": "Points right of the grey range: what genes do to genes differs more than by strength.",
    "knockout": "A bright diagonal, a distribution right of the grey one: a gene does the same in both contexts.",
    "knockout_linearity": "At 1 a derivative at the cells foretells the whole knock-out; below 0 it misleads.",
    "output_clustering": "Members of a program that respond alike lie right of the grey range and in few clusters.",
    "pert_embedding": "Filled points right of the grey range: the code knows the program. In bold: near and of it.",
    "regime_agreement": "The nearer a point to its ceiling, the more the zero-shot model answers as the few-shot one.",
    "regulator_influence": "Regulators right of the grey density move the targets more than other genes do.",
    "regulon_recovery": "Filled points right of the grey range: regulators find their known targets.",
    "routing_coherence": "Like answers come by like routes where curves rise; this shows no mechanism.",
    "sae_features": "Above the dotted line features say more of a program than principal components do.",
    "targeted_jacobian": "A pathway right of the grey density strengthens its own derivatives.",
}
"""Probe -> how its figure is read, in one sentence."""
HEAD = """# Gallery

Every figure of the demo, as the run drew it, with the caption that it wrote. `make gallery` makes this page.
Figures are 89 or 183 mm wide and at most 170 mm high: they can be printed as they are. In PDF and SVG text stays text.

Most figures share one form. Programs are rows, models are columns. A point is what was measured, the line its 95 %
interval, the grey range what chance gives. A point is filled where it passes the test that the config asks for.
"""


def main(results: Path) -> None:
    """Write the page and its pictures of a run's folder."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    for old in PICTURES.glob("*.png"):
        old.unlink()
    text = HEAD + "".join(map("\n".join, entries(results / "figures")))
    (DOCS / "gallery.md").write_text(text, encoding="utf-8")


def entries(figures: Path) -> Iterator[list[str]]:
    """Yield the lines of each figure that the run has: what belongs to the run, then probes, then models' quality."""
    for name, (heading, read) in RUN.items():
        yield entry(figures / name, heading, "", read)
    for probe in probe_names():
        if probe in READ:
            yield entry(figures / probe, probe, declared(probe).question, READ[probe])
    for picture in sorted((figures / "quality").glob("*.png"))[:1]:
        read = "The further right, the better the model predicts that perturbation; the mean shift stands beside."
        yield entry(picture.with_suffix(""), "Quality of predictions", "", read)


def entry(figure: Path, heading: str, question: str, read: str) -> list[str]:
    """Return the lines of one figure, and write its picture; none where the run has no such figure."""
    if not figure.with_suffix(".png").is_file():
        return []
    place = PICTURES / f"{figure.name}.png"
    shrink(figure.with_suffix(".png"), place)
    caption = figure.with_name(f"{figure.name}.caption.txt").read_text(encoding="utf-8").strip()
    words = " ".join(filter(None, (f"*{question}*" if question else "", read)))
    return ["", f"## {heading}", "", words, "", f"![{heading}]({place.relative_to(DOCS)})", "", caption, ""]


def shrink(source: Path, place: Path) -> None:
    """Write a picture at the size of the page, in few colours."""
    with Image.open(source) as picture:
        wide = round(picture.width * WIDE / DOUBLE)
        small = picture.convert("RGB").resize((wide, round(picture.height * wide / picture.width)), Image.LANCZOS)
        small.quantize(COLOURS, dither=Image.Dither.NONE).save(place, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "results/demo"))
