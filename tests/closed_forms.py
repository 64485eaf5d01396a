"""What models say of themselves that only tests ask: State's confidence head."""

import torch.nn.functional as F

from pertprobe.models.state.backbone import final_norm
from pertprobe.models.state.layers import layer_norm, linear


def confidence(model, mixed):
    """Return the predicted loss [..., 1] of each set, from State's confidence token."""
    name, x = "confidence_token.confidence_projection", mixed.layers[-1][..., -1, :]
    x = final_norm(model.architecture, model.parameters, x)
    for i in (0, 4):
        x = F.gelu(layer_norm(model.parameters, f"{name}.{i + 1}", linear(model.parameters, f"{name}.{i}", x)))
    return F.relu(linear(model.parameters, f"{name}.8", x))
