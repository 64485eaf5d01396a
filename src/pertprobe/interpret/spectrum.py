"""The spectrum of the map from a common shift of all cells, or of a layer's states, to the mean output."""

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, svds
from torch import Tensor
from torch.func import vjp
from torch.linalg import svdvals

from pertprobe.interpret.by_directions import by_directions
from pertprobe.interpret.jacobian import Point, Singular
from pertprobe.interpret.sensitivity import CHUNK, shift_factors, shifted_mean
from pertprobe.models.base import Model
from pertprobe.models.contributions import AffineMap
from pertprobe.models.forward_mode import jvp
from pertprobe.models.state.frozen import StateMap


def decomposed(
    frozen: StateMap, name: str, batch: Tensor | None, k: int, rng: np.random.Generator
) -> dict[str, Tensor]:
    """Return the detached Jacobian of one cell set [S, G] under the perturbation called `name`, and the ordinary one.

    Returns:
        values [k]: the k largest singular values of the detached Jacobian; input_vectors [k, G], output_vectors
        [k, G_out]. effective_rank [2]: of the detached and of the ordinary Jacobian. layer_rank [2, layers]: the same
        of the maps from each layer's states on. cosine: of the two Jacobians as vectors. overlap [2]: of the spans of
        their k leading input and output vectors. lanczos_error: largest difference between `values` and what Lanczos
        finds without the matrix, over the largest of them.
    """
    k = min(k, frozen.X.shape[-1] - 1, frozen.output.shape[-1] - 1)
    point = Point(frozen.X[None], None if batch is None else batch[None], None)
    code, models = frozen.exact.encode_perturbations([name])[0], (frozen.model, frozen.exact)
    jacobians = [shift_factors(model, code, point) for model in models]
    whole = [each.svd(min(each.left.shape[-2:])) for each in jacobians]
    detached, ordinary = (Singular(*(part[0] for part in each)) for each in whole)
    spans = ((detached.inputs, ordinary.inputs), (detached.outputs.mT, ordinary.outputs.mT))
    layers = range(frozen.exact.n_layers + 1)
    ranks = [[svdvals(layer_jacobian(model, code, point, layer)[0]) for layer in layers] for model in models]
    product = jacobians[0].inner_products(jacobians[1])
    size = jacobians[0].squared_norms() * jacobians[1].squared_norms()
    found = lanczos(shift_operator(frozen), k, rng).values
    return {
        "values": detached.values[:k],
        "input_vectors": detached.inputs[:k],
        "output_vectors": detached.outputs[:, :k].mT,
        "effective_rank": torch.stack([effective_rank(each.values) for each in (detached, ordinary)]),
        "layer_rank": torch.stack([torch.stack([effective_rank(values) for values in each]) for each in ranks]),
        "cosine": _over(product, size.sqrt())[0],
        "overlap": torch.stack([overlap(one[:k], other[:k]) for one, other in spans]),
        "lanczos_error": _over((detached.values[:k] - found.to(detached.values)).abs().max(), detached.values[0]),
    }


def effective_rank(values: Tensor) -> Tensor:
    """Return (sum s^2)^2 / sum s^4 of singular values [..., k], all of them; 0 where all are 0.

    Source: methods.md, Detached Jacobian.
    """
    squares = values.square()
    return _over(squares.sum(-1).square(), squares.square().sum(-1))


def _over(value: Tensor, size: Tensor) -> Tensor:
    """Return value / size, 0 where size is 0."""
    return torch.where(size > 0, value / size, 0.0)


def shift_operator(frozen: AffineMap) -> LinearOperator:
    """Return the detached Jacobian [G_out, G] of one cell set, never written out: a shift of all cells -> mean output.

    The map is frozen at cells [S, G]. Products cost one run, transposed products one pull-back.
    """
    outputs, pull_back = vjp(lambda shift: frozen.from_cells(shift.expand_as(frozen.X)).mean(-2), frozen.X[0])

    def forward(shift: np.ndarray) -> np.ndarray:
        """Return the map of one shift of all cells."""
        return frozen.from_cells(_tensor(shift, frozen.X).expand_as(frozen.X)).mean(-2).cpu().numpy()

    def backward(output: np.ndarray) -> np.ndarray:
        """Return the transposed map of one output."""
        return pull_back(_tensor(output, frozen.X))[0].cpu().numpy()

    shape = (len(outputs), frozen.X.shape[-1])
    return LinearOperator(shape, matvec=forward, rmatvec=backward, dtype=np.float64)


def _tensor(values: np.ndarray, like: Tensor) -> Tensor:
    return torch.as_tensor(values.ravel()).to(like)


def lanczos(operator: LinearOperator, k: int, rng: np.random.Generator) -> Singular:
    """Return the k largest singular values and vectors by implicitly restarted Lanczos (scipy's ARPACK)."""
    start = rng.normal(size=min(operator.shape))
    outputs, values, inputs = svds(operator, k, v0=start, tol=0, solver="arpack")
    order = np.argsort(-values)
    return Singular(*(torch.from_numpy(each.copy()) for each in (outputs[:, order], values[order], inputs[order])))


def overlap(first: Tensor, second: Tensor) -> Tensor:
    """Return the mean squared cosine of the principal angles between spans of orthonormal rows [..., k, G], 0 to 1."""
    return (first @ second.mT).square().sum((-2, -1)) / first.shape[-2]


def layer_jacobian(model: Model, code: Tensor, point: Point, layer: int) -> Tensor:
    """Return d mean_s Y_s / d a shift of all cells' states at a layer [n_sets, G_out, H] under a code [H].

    0 = the input of the backbone. What passes beside the backbone (the residual) is no part of it. Of a frozen model it
    is the detached Jacobian from that layer on.
    """
    nothing = torch.zeros_like(code)

    def response(shift: Tensor) -> Tensor:
        """Return the mean output after one shift of all cells at this layer."""
        return shifted_mean(model, code, point, [shift if i == layer else None for i in range(model.n_layers + 1)])

    along = torch.eye(len(code)).to(code)
    return by_directions(lambda direction: jvp(response, (nothing,), (direction,))[1], along, -1, CHUNK)
