"""Training a sparse autoencoder, TopK or ReLU + L1, on the pooled activations of all models that are compared."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Generator, Tensor
from torch.optim.lr_scheduler import LambdaLR

from pertprobe.batching import counted, one_thread
from pertprobe.errors import PertprobeError
from pertprobe.interpret.sae.autoencoder import SparseAutoencoder, activated, top_k

AUXILIARY = 1 / 32
"""Weight of the loss that revives dead features (Gao et al. 2024, appendix A.2)."""
DECAY = 0.2
"""Last share of the steps, over which the learning rate falls to 0."""
RATES = {"topk": 4e-3, "relu": 1e-3}
"""Learning rates at which planted features are recovered; with ReLU + L1 a larger one leaves many mixed."""
WARM_UP = 0.2
"""First share of the steps, over which the L1 penalty rises to its full size: at once it would kill most features."""


def training_settings(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `train_sae` takes of an entry of the config: topk unless it says relu_l1."""
    sparse = {"k": None, "l1": entry["l1"]} if entry.get("kind") == "relu_l1" else {"k": entry["k"]}
    return {"expansion": entry["expansion"], "steps": entry["steps"], **sparse}


def train_sae(
    activations: Mapping[str, Tensor],
    expansion: int,
    k: int | None,
    seed: int,
    steps: int = 1500,
    batch: int = 256,
    learning_rate: float | None = None,
    l1: float = 0.0,
) -> SparseAutoencoder:
    """Train one SAE for all models: every batch holds as many rows of each, every model's error counts alike.

    The loss is the mean over models of the fraction of that model's variance left unexplained, plus `l1` times the mean
    sum of a row's features over the root mean square norm of rows, plus the auxiliary one. Decoder rows have length 1
    throughout, so that no feature escapes the penalty by writing larger.
    Training runs in units of the pooled standard deviation; the biases are scaled back at the end, so that the SAE
    reads and writes raw activations and no normalisation has to be remembered. Models whose means or scales lie
    several fold apart are described less well, as `quality` then shows. One thread: the seed decides the result.

    Args:
        activations: rows [n, H] by model; computed in float32.
        expansion: features per input dimension: F = expansion x H.
        k: features active in a row; None = every feature above 0 (ReLU), kept few by `l1`.
        seed: seed of the initial weights and of the order of rows.
        steps: number of updates; 0 = the autoencoder as it is before training.
        batch: rows an update, shared equally by the models.
        learning_rate: Adam's; constant, then falling linearly to 0 over the last fifth. None = that of RATES.
        l1: size of the penalty on features, at its full size from a fifth of the steps on.

    Raises:
        PertprobeError: no activations, different widths, values that are not finite, k above F.
    """
    rows = list(checked_rows(activations).values())
    n_features = expansion * rows[0].shape[1]
    if k is not None and not 0 < k <= n_features:
        raise PertprobeError(f"sae: k is {k}, but there are {n_features} features. Set k between 1 and {n_features}.")
    centre = torch.stack([x.mean(dim=0) for x in rows]).mean(dim=0)
    scale = float(torch.stack([(x - centre).square().mean() for x in rows]).mean().sqrt()) or 1.0
    rows = [(x - centre) / scale for x in rows]
    learning_rate = learning_rate or RATES["relu" if k is None else "topk"]
    with one_thread():
        sae = _optimise(rows, n_features, k, torch.Generator().manual_seed(seed), steps, batch, learning_rate, l1)
    return SparseAutoencoder(sae.W_enc, sae.b_enc * scale, sae.W_dec, sae.b_dec * scale + centre, k)


def checked_rows(activations: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return float32 rows [n, H] by model, in the order of the models' names.

    Raises:
        PertprobeError: no activations, different widths, values that are not finite.
    """
    rows = {model: activations[model].detach().float() for model in sorted(activations)}
    empty = [model for model, x in rows.items() if x.ndim != 2 or not len(x) or not x.isfinite().all()]
    if not rows or empty:
        raise PertprobeError(
            f"sae: activations must be finite rows [n, H] of at least one model; not so: {empty or 'none'}."
        )
    widths = {model: x.shape[1] for model, x in rows.items()}
    if len(set(widths.values())) > 1:
        raise PertprobeError(f"sae: the models' layers differ in width ({widths}). Give each width an SAE of its own.")
    return rows


def _optimise(
    rows: list[Tensor],
    n_features: int,
    k: int | None,
    generator: Generator,
    steps: int,
    batch: int,
    learning_rate: float,
    l1: float,
) -> SparseAutoencoder:
    sae = _initial(rows[0].shape[1], n_features, k, generator, rows[0].device)
    parameters = [sae.W_enc, sae.b_enc, sae.W_dec, sae.b_dec]
    optimiser = torch.optim.Adam([p.requires_grad_() for p in parameters], lr=learning_rate, fused=True)
    schedule = LambdaLR(optimiser, lambda step: min(1.0, (steps - step) / (DECAY * max(steps, 1))))
    each = max(1, batch // len(rows))
    draws = [_batches(len(x), each, generator) for x in rows]
    # a feature is dead once a whole pass over the largest model has not used it
    silent, patience = torch.zeros(n_features, device=rows[0].device), max(len(x) for x in rows) * len(rows) / batch
    variances = [max(float((x - x.mean(dim=0)).square().sum(dim=1).mean()), 1e-12) for x in rows]
    weights = torch.tensor([1 / variance for variance in variances]).repeat_interleave(each).to(rows[0])
    for step in counted(range(steps), "sae, steps"):
        drawn = torch.cat([x[next(draw)] for x, draw in zip(rows, draws, strict=True)])
        penalty = l1 * min(1.0, step / (WARM_UP * steps))
        loss, used = _loss(sae, drawn, weights, silent > patience, penalty)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        with torch.no_grad():
            sae.W_dec.div_(sae.W_dec.norm(dim=1, keepdim=True))
            silent = torch.where(used, 0.0, silent + 1)
    return SparseAutoencoder(*(p.detach() for p in parameters), k)


def _initial(
    n_inputs: int, n_features: int, k: int | None, generator: Generator, device: torch.device
) -> SparseAutoencoder:
    """Return random unit directions, the encoder their transpose; the bias is 0, since the mean is already removed."""
    W_dec = torch.randn(n_features, n_inputs, generator=generator).to(device)
    W_dec = W_dec / W_dec.norm(dim=1, keepdim=True)
    zeros = [torch.zeros(size, device=device) for size in (n_features, n_inputs)]
    return SparseAutoencoder(W_dec.T.clone(), zeros[0], W_dec, zeros[1], k)


def _loss(
    sae: SparseAutoencoder, x: Tensor, weights: Tensor, dead: Tensor, penalty: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Return the loss of a batch [n, H] with row weights [n], and which features were used [F].

    Rows are in units of their pooled standard deviation: their norm is about sqrt(H).
    """
    pre = sae.pre_activations(x)
    features = activated(pre, sae.k)
    residual = x - sae.decode(features)
    loss = (weights * residual.square().sum(dim=1)).mean()
    if penalty:
        loss = loss + penalty * features.sum(dim=1).mean() / x.shape[1] ** 0.5
    if n_dead := int(dead.sum()):
        # dead features reconstruct what the living leave over, so that they get a gradient again
        revived = top_k(pre.masked_fill(~dead, -torch.inf), min(n_dead, x.shape[1] // 2)) @ sae.W_dec
        loss = loss + AUXILIARY * (weights * (residual.detach() - revived).square().sum(dim=1)).mean()
    return loss, (features > 0).any(dim=0)


def _batches(n: int, size: int, generator: Generator) -> Iterator[Tensor]:
    """Yield indices of `size` rows for ever, every row once before any again."""
    left = torch.empty(0, dtype=torch.long)
    while True:
        while len(left) < size:
            left = torch.cat([left, torch.randperm(n, generator=generator)])
        yield left[:size]
        left = left[size:]
