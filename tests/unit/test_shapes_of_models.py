"""A wrong shape is refused by the stages of a model and by the derivative engine."""

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError
from tiny import cell_sets, random_state

from pertprobe.interpret.jacobian import cells_point, panel_jacobian, respond

CELLS = cell_sets()


@pytest.fixture(scope="module", name="model")
def one():
    return random_state()


@pytest.mark.parametrize("call", [
    lambda model, X, code: model.encode_cells(X[0, 0]),
    lambda model, X, code: model.encode_cells(X, multiplicity=torch.ones(3)),
    lambda model, X, code: model.encode_cells(X, batch=torch.zeros(X.shape[:-1])),
    lambda model, X, code: respond(model, code[None], cells_point(CELLS.values, None, code)),
    lambda model, X, code: cells_point(np.ones((5, 4)), None, code),
    lambda model, X, code: panel_jacobian(model, code, cells_point(CELLS.values, None, code), [0], [0]),
])  # fmt: skip
def test_a_wrong_shape_is_refused(model, call):
    code = model.encode_perturbations([model.control])[0]
    with pytest.raises(TypeCheckError):
        call(model, model.tensor(CELLS.values), code)
