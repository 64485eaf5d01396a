"""Whole Jacobians the slow, obvious way: torch.autograd.functional.jacobian of a model's own answer, set by set."""

import torch
from tiny import cell_sets

from pertprobe.interpret.jacobian import Factors, Point, cells_point, mean_cell_point, panel_jacobian, respond
from pertprobe.interpret.sensitivity import shift_factors
from pertprobe.models.state.architecture import GeneDecoder

STATES = {
    "plain": {"batch_encoder": False},
    "batch_encoder": {},
    "confidence_token": {"confidence_token": True},
    "batch_token": {"batch_encoder": False, "batch_token": True, "confidence_token": True},
    "deep_encoders": {"n_encoder_layers": 3, "n_decoder_layers": 3},
    "gpt2": {"backbone": "GPT2", "intermediate_dim": 64},
    "self": {"attention": "self"},
    "no_residual": {"predict_residual": False},
    "without_relu": {"embed_key": "X_emb", "gene_decoder": GeneDecoder((6,), 12, False)},
    "all": {"output_space": "all"},
    "all_deep": {"output_space": "all", "n_decoder_layers": 2, "confidence_token": True},
}
NAMES = ("x1", "g00", "x2")


def sets_of(model, point):
    """Yield the point of each set by itself."""
    for i in range(len(point.X)):
        yield Point(*(None if each is None else each[i : i + 1] for each in point))


def whole(model, codes, point):
    """Return dY_s/dX_s' for all pairs of cells [P, n_sets, S, G_out, S, G]."""

    def one(code, alone):
        return torch.autograd.functional.jacobian(lambda X: respond(model, code, alone, X[None])[0], alone.X[0])

    return torch.stack([torch.stack([one(code, alone) for alone in sets_of(model, point)]) for code in codes])


def total(pairs):
    """Return (1/S) sum_s sum_s' dY_s/dX_s' [P, n_sets, G_out, G]."""
    return pairs.sum(4).mean(2)


def own(pairs):
    """Return dY_s/dX_s of each cell [P, n_sets, S, G_out, G]."""
    return torch.stack([pairs[:, :, s, :, s] for s in range(pairs.shape[2])], dim=2)


def diagonal(pairs):
    """Return (1/S) sum_s dY_s/dX_s [P, n_sets, G_out, G]."""
    return own(pairs).mean(2)


SLOW = {"total": total, "diagonal": diagonal}


def explicit_jacobian(model, codes, point, derivative="total", memory_gb=1.0):
    """Return whole Jacobians [P, n_sets, G_out, G] by the engine's panels: every output by every gene."""
    outputs, genes = (range(n) for n in (respond(model, codes[0], point).shape[-1], point.X.shape[-1]))
    return panel_jacobian(model, codes, point, outputs, genes, derivative, memory_gb).values


def cell_jacobians(model, codes, point, targets, regulators):
    """Return each cell's own derivative by the engine [P, n_sets, S, targets, regulators]: it alone counts."""
    alone = torch.eye(point.X.shape[1]).to(point.X)[:, None].expand(-1, len(point.X), -1)
    points = [point._replace(weight=weight) for weight in alone]
    found = [panel_jacobian(model, codes, each, targets, regulators, "diagonal").values for each in points]
    return torch.stack(found, dim=2)


def factors_at_cells(model, codes, point):
    """Return the factors of whole total derivatives, left sides [P, n_sets, G_out, K]."""
    each = [shift_factors(model, code, point) for code in codes]
    return Factors(torch.stack([one.left for one in each]), each[0].right)


def label_of(model):
    """Return the batch of a mean cell; none where the model has no batches."""
    return 1 if getattr(model, "architecture", None) and model.architecture.batch_encoder else None


def at_cells(model, cells=None):
    cells = cells or cell_sets()
    return cells_point(cells.values, model.batch_indices(cells.batches), codes_of(model))


def at_mean(model, derivative="total", cells=None):
    return mean_cell_point((cells or cell_sets()).values, label_of(model), codes_of(model), derivative)


def copies_of_the_mean(model, cells=None):
    """Return the point where the mean cell stands as often as it stands for."""
    once = at_mean(model, cells=cells)
    n = int(once.multiplicity.flatten()[0])
    X = once.X.expand(-1, n, -1)
    return Point(X, None if once.batch is None else once.batch.expand(-1, n), None)


def codes_of(model, names=NAMES):
    return model.encode_perturbations(list(names))


def close(a, b, tolerance=1e-9):
    """Compare to a relative error of the largest number."""
    torch.testing.assert_close(a, b, rtol=0, atol=tolerance * float(b.abs().max().clamp_min(1e-30)))
