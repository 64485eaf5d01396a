"""How a perturbation's code becomes output: derivatives by the code, and by the features that it is encoded from."""

from collections.abc import Sequence

from torch import Tensor
from torch.func import jacrev, vmap

from pertprobe.batching import MEMORY_GB
from pertprobe.errors import PertprobeError
from pertprobe.interpret.jacobian.chunks import chunks, in_batches
from pertprobe.interpret.jacobian.linear_ends import factorised
from pertprobe.interpret.jacobian.passes import jvp_code
from pertprobe.interpret.jacobian.points import Point
from pertprobe.models.base import Model
from pertprobe.shapes import Float


def routing_jacobian(
    model: Model,
    codes: Float[Tensor, "perturbation code"],
    point: Point,
    memory_gb: float = MEMORY_GB,
) -> Float[Tensor, "perturbation set output code"]:
    """Return d mean_s Y_s / d code [P, n_sets, G_out, H] under codes [P, H].

    The code is that of the whole set, shared by its cells. Forward mode: H is smaller than G_out. The sets give the
    estimate's own standard error. Perturbations run in batches of one shape, see `chunks.in_batches`.
    """
    at, width = factorised(model, point), codes.shape[-1]
    sizes = chunks(at, codes[0], width, memory_gb, reverse=False, result=2 * len(point.X) * at.outputs * width)

    def work(codes: Tensor) -> tuple[Tensor]:
        """Return the derivatives of a batch."""
        return (jvp_code(at, codes, lambda state: at.ends.decode_linear(state, None), sizes.directions),)

    return in_batches(codes, sizes.perturbations, work)[0]


def feature_jacobian(model: Model, names: Sequence[str]) -> Float[Tensor, "perturbation code feature"]:
    """Return d code / d features of perturbations [P, H, F], features one-hot or not: W of an encoder of one Linear.

    J_features = J_code times this (`factors.Factors(J_code, this)` never multiplies it out).

    Raises:
        PertprobeError: the model does not say what its codes are made of.
    """
    if "code_features" not in model.capabilities:
        raise PertprobeError(
            "model: derivatives by the perturbation's features take `perturbation_features` [perturbations, F] and "
            "`encode_features(features) -> codes`, which this model does not have. Ask for those by the code"
        )
    rows = [model.perturbations.index(name) for name in names]
    return vmap(jacrev(model.encode_features))(model.perturbation_features[rows])
