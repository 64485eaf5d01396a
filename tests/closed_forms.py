"""What models say of themselves that only tests ask: exact derivatives of planted models, State's confidence head."""

import torch.nn.functional as F

from pertprobe.models.state.backbone import final_norm
from pertprobe.models.state.layers import layer_norm, linear


def planted_jacobian(model, values, perturbation, derivative="diagonal"):
    """Return the exact derivative [..., G_out, G] of a planted model at cells [..., S, G].

    `derivative` names it (methods.md, The derivative engine); at the mean cell where all cells are that.

    Without ReLU: (linear + sum_P g u_P w_P)' for `planted`, linear' for the others; the set term takes `between_cells`'
    from the diagonal, and nothing from the total, to which the other cells give it back. A ReLU multiplies each row by
    the share of cells whose output is open.
    """
    X, parts = model.tensor(values), model.parts
    code = model.encode_perturbations([perturbation])[0]
    matrix = parts.linear
    if model.kind == "planted":
        matrix = matrix + (parts.sources * model.gates(code)) @ parts.effects
    if derivative == "diagonal" and X.shape[-2] > 1:
        matrix = matrix - parts.between_cells
    if not model.relu:
        return matrix.mT.expand(*X.shape[:-2], -1, -1)
    share_open = (model.predict(X, perturbation) > 0).to(X).mean(-2)
    return share_open[..., None] * matrix.mT


def confidence(model, mixed):
    """Return the predicted loss [..., 1] of each set, from State's confidence token."""
    name, x = "confidence_token.confidence_projection", mixed.layers[-1][..., -1, :]
    x = final_norm(model.architecture, model.parameters, x)
    for i in (0, 4):
        x = F.gelu(layer_norm(model.parameters, f"{name}.{i + 1}", linear(model.parameters, f"{name}.{i}", x)))
    return F.relu(linear(model.parameters, f"{name}.8", x))
