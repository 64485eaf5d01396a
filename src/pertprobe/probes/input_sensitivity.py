"""input_sensitivity: what does the output answer to, how strongly, and do derivatives of this model mean anything?"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from pertprobe import evidence
from pertprobe.probes.base import MeasureInputs, TestInputs, averaged, each_program
from pertprobe.roles import SUBJECT
from pertprobe.seeding import generator
from pertprobe.statistics.permutation import mean_score
from pertprobe.statistics.ranks import mid_ranks

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from pertprobe.figures import DrawInputs

CONTROLLED = "input_rank"
"""The statistic in which re-drawn copies and planted models are compared with the model."""
CONTROL = "control"
"""Setting that stands for the model's own control perturbation, whatever its label."""
SIGNS = 16
"""Random draws behind the gradient of a layer."""


def units(inputs: MeasureInputs) -> list[str]:
    """Return what is measured one by one: one perturbation, the control unless another is asked for."""
    return [_perturbation(inputs)]


def _perturbation(inputs: MeasureInputs) -> str:
    wanted = inputs.settings["perturbation"]
    return inputs.model.control if wanted == CONTROL else wanted


def measure(inputs: MeasureInputs, names: list[str]) -> xr.Dataset:
    """Return gains, gradients and the linear range under one perturbation, at the cells themselves.

    input_response [set, feature] and output_response [set, gene]: norms of the columns and rows of the Jacobian (total,
    of the mean output), each input gene times its sd over control cells; input_gradient [set, feature]: of the columns
    as they are. spectral_norm, converged, shift_norm [set]: largest gain of the whole map, its relative change in the
    last step, and that of a common shift. activation, gradient [set, layer]. closed [set, gene]: share of cells whose
    output is exactly 0. noise_response, noise_error [set, noise, draw]. set_difference: norm of the difference of the
    mean outputs of two cell sets, mean over pairs; nan with one set.
    """
    import torch  # tests do without it

    from pertprobe.jacobian import cells_point
    from pertprobe.sensitivity import Draws, sensitivity

    model, cells = inputs.model, inputs.cells
    sets = None if inputs.role == SUBJECT else inputs.settings["copy_sets"]
    code = model.encode_perturbations([names[0]])[0]
    batch = model.batch_indices(None if cells.batches is None else cells.batches[:sets])
    point = cells_point(cells.values[:sets], batch, code)
    given = (_noise(inputs), _signs(inputs, len(point.X)), _start(inputs)[:sets])
    draws = Draws(*(torch.as_tensor(each).to(code) for each in given))
    found = sensitivity(model, code, point, torch.as_tensor(gene_sd(cells.values)).to(code), draws)
    arrays = {name: (DIMS[name], value.cpu().numpy().astype(np.float64)) for name, value in found._asdict().items()}
    coords = {"feature": list(model.genes), "gene": list(model.output_genes), "noise": inputs.settings["noise"]}
    return xr.Dataset(arrays, coords={**coords, "set": np.arange(len(point.X))})


DIMS = {
    "input_gradient": ("set", "feature"),
    "input_response": ("set", "feature"),
    "output_response": ("set", "gene"),
    "spectral_norm": ("set",),
    "converged": ("set",),
    "shift_norm": ("set",),
    "activation": ("set", "layer"),
    "gradient": ("set", "layer"),
    "closed": ("set", "gene"),
    "noise_response": ("set", "noise", "draw"),
    "noise_error": ("set", "noise", "draw"),
    "set_difference": (),
}
"""Variable of the measurement -> its axes."""


def gene_sd(values: np.ndarray) -> np.ndarray:
    """Return each gene's standard deviation [G] over all control cells [n_sets, S, G]."""
    return values.reshape(-1, values.shape[-1]).astype(np.float64).std(axis=0)


def set_sd(values: np.ndarray) -> np.ndarray:
    """Return the standard deviation [G] of each gene's mean between cell sets [n_sets, S, G].

    Of one set, what sampling S of its cells gives: sd / sqrt(S).
    """
    if len(values) == 1:
        return gene_sd(values) / np.sqrt(values.shape[1])
    return values.astype(np.float64).mean(axis=1).std(axis=0, ddof=1)


def _noise(inputs: MeasureInputs) -> np.ndarray:
    """Return shifts of all cells [noise, draws, G], of the sizes asked for; one draw has one direction at all sizes."""
    values = inputs.cells.values
    shape = (inputs.settings["draws"], values.shape[-1])
    directions = generator(inputs.seed, "input_sensitivity", "noise").normal(size=shape) * set_sd(values)
    return np.array(inputs.settings["noise"], dtype=np.float64)[:, None, None] * directions


def _signs(inputs: MeasureInputs, n_sets: int) -> np.ndarray:
    """Return random signs [SIGNS, n_sets, G_out]; every set has those of the first."""
    draw = generator(inputs.seed, "input_sensitivity", "signs").choice(
        [-1.0, 1.0], (SIGNS, len(inputs.model.output_genes))
    )
    return np.repeat(draw[:, None], n_sets, axis=1)


def _start(inputs: MeasureInputs) -> np.ndarray:
    """Return where the power iteration begins [n_sets, S, G]."""
    return generator(inputs.seed, "input_sensitivity", "start").normal(size=inputs.cells.values.shape)


def test(inputs: TestInputs) -> Iterator[dict[str, Any]]:
    """Are the program's genes among those that the output answers to most, or among the outputs that answer most?"""
    if inputs.reference is not None:
        return
    yield from controlled(inputs)
    yield from _rank_rows(inputs, "output_rank", "output_response")


def controlled(inputs: TestInputs) -> Iterator[dict[str, Any]]:
    """Yield the ranks of the program's genes among the inputs: asked of copies and planted models too."""
    if inputs.reference is None:
        yield from _rank_rows(inputs, CONTROLLED, "input_gradient")


def references(inputs: TestInputs) -> Iterator[dict[str, Any]]:
    """Yield nothing: neither what was observed nor co-expression has a gradient."""
    return iter(())


def _rank_rows(inputs: TestInputs, statistic: str, variable: str) -> Iterator[dict[str, Any]]:
    """Yield the mean rank of a program's genes, 0 to 1, against genes of like expression."""
    sizes = averaged(inputs.subject.measurement, variable).to_series().sort_index()
    names = sizes.index.to_numpy()
    ranks = mid_ranks(sizes.to_numpy()[:, None], np.zeros((len(names), 1)))[:, 0]
    expression = inputs.cells.for_genes(tuple(names)).values.mean(axis=(0, 1), dtype=np.float64)
    for program, found, short in each_program(inputs, names, inputs.min_genes, "measured genes"):
        who = {"statistic": statistic, "program": program, "unit": "gene", "n": len(found), "n_background": len(names)}
        if short:
            yield evidence.not_evaluable(inputs.identity, short, **who)
            continue
        test = mean_score(ranks, found, expression, inputs.permutations, inputs.random(statistic, program))
        yield evidence.row(inputs.identity, **who, **evidence.tested(test))


def draw(inputs: "DrawInputs") -> "Figure":
    """Draw gradients by layer and the linear range beside untrained copies, and the inputs that count most."""
    from pertprobe.figures import NOTHING_TESTED, nothing_to_draw
    from pertprobe.sensitivity_figure import sensitivity_figure

    measured = {name: each for name, each in inputs.measurements.items() if "gradient" in each}
    return sensitivity_figure(measured) if measured else nothing_to_draw(NOTHING_TESTED)
