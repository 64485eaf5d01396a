"""Planted models: set models in closed form whose answer to every causal probe is known.

Source: methods.md, Planted models.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pertprobe.data.cell_sets import CellSets
from pertprobe.errors import PertprobeError
from pertprobe.models.base import Capability, Encoded, GeneModel, Mixed, StraightBlocks
from pertprobe.models.planted import materials

Kind = Literal["planted", "lookup", "covariation"]

GATE_SCALE = 2.0**-10
"""Size of a code's gate coordinates: a power of 2, so that they are read exactly; too small for cosines to feel."""
CONTROL_GATE = -8.0
"""The control's gates: closed, so that every other gate is above the control's."""
BACKGROUND = ("(background 1)", "(background 2)", "(background 3)")
"""Programs without members, wired as others: perturbations differ in strength for other reasons than membership."""
BACKGROUND_SPREAD = 2.0
"""sd of the gates of background programs, in those of programs."""


class Parts(NamedTuple):
    """The numbers of one planted model, in float64."""

    codes: np.ndarray
    """[P, H]: K zeros, where cells have their features; the representation; K gates times GATE_SCALE."""
    linear: np.ndarray
    """[G, G_out]: identity and gene graph, what the model does to a cell under the control."""
    sources: np.ndarray
    """u [G, K], what of a cell each program reads."""
    effects: np.ndarray
    """w [K, G_out], what each program does."""
    drive: np.ndarray
    """c [K]: mean of X . u over the cells that are probed."""
    between_cells: np.ndarray
    """beta B [G, G_out], which takes (mean of the other cells - X_s); all zeros without a set term."""


class PlantedModel(StraightBlocks, GeneModel):
    """Implements `pertprobe.models.base.Model` with every stage.

    Y_s = X_s linear + sum_P g(k, P) e_P w_P + (mean of the other cells - X_s) between_cells, through a ReLU if `relu`.
    The gate is g(k, P) = softplus(v_P . r_k) less the control's. "planted" reads the cell, e_P = X_s . u_P: the
    mechanism. "lookup" and "covariation" have e_P = c_P, the mean of the same over the cells that are probed.

    The hidden states hold X_s . u_P, then the code; no block changes them. What does not depend on the perturbation is
    computed in `encode_cells` and is its residual [..., S, G_out].
    """

    n_layers = 2
    capabilities: frozenset[Capability] = frozenset(
        {"predict", "gradient", "stages", "set_function", "affine_map", "resume", "gene_space"}
    )

    def __init__(
        self,
        kind: Kind,
        parts: Parts,
        *,
        relu: bool = False,
        card: Mapping[str, Any] | None = None,
        **names: Any,
    ) -> None:
        """Take the numbers; `names` are those of their axes and what else `GeneModel` takes."""
        super().__init__(kind, **names)
        self.relu = relu
        self.parts = Parts(*(torch.as_tensor(part, dtype=self.dtype) for part in parts))
        self.crosses = bool(parts.between_cells.any())
        self.card |= {**(card or {}), "no_redraw": f"{kind}: a planted model has no architecture null"}
        self._closed = self._opening(self.encode_perturbations([self.control])[0])
        self._last: tuple[np.ndarray, Encoded] | None = None

    def encoded(self, values: Any) -> Encoded:
        """Return what no perturbation changes of cells, kept for the last numpy array, which no derivative follows."""
        if not isinstance(values, np.ndarray):
            return super().encoded(values)
        if self._last is None or not np.array_equal(self._last[0], values):
            self._last = values.copy(), super().encoded(values)
        return self._last[1]

    def encode_perturbations(self, names: Sequence[str]) -> Tensor:
        """Return the codes [P, H] of the perturbations called `names`; PertprobeError for unknown ones."""
        return self.parts.codes[self.rows_of(names)]

    def encode_cells(self, X: Tensor, batch: Tensor | None = None, multiplicity: Tensor | None = None) -> Encoded:
        """Return the cells' features in hidden space and, as residual, all that no perturbation changes."""
        features = X @ self.parts.sources
        residual = X @ self.parts.linear
        if self.crosses:
            residual = residual + (_others(X, multiplicity) - X) @ self.parts.between_cells
        return Encoded(residual, F.pad(features, (0, self.parts.codes.shape[1] - features.shape[-1])), multiplicity)

    def decode(self, mixed: Mixed, encoded: Encoded, X: Tensor | None) -> Tensor:
        """Return the output [..., S, G_out]; X itself is not read again."""
        output = self._before_relu(mixed, encoded)
        return F.relu(output) if self.relu else output

    def jacobian(
        self,
        values: np.ndarray | Tensor,
        perturbation: str,
        *,
        derivative: Literal["diagonal", "total"] = "diagonal",
    ) -> Tensor:
        """Return the exact derivative [..., G_out, G] at cells [..., S, G].

        `derivative` names it (methods.md, The derivative engine); at the mean cell where all cells are that.

        Without ReLU: (linear + sum_P g u_P w_P)' for `planted`, linear' for the others; the set term takes
        `between_cells`' from the diagonal, and nothing from the total, to which the other cells give it back. A ReLU
        multiplies each row by the share of cells whose output is open.
        """
        X, matrix = self.tensor(values), self.parts.linear
        if self.kind == "planted":
            gates = self.gates(self.encode_perturbations([perturbation])[0])
            matrix = matrix + (self.parts.sources * gates) @ self.parts.effects
        if derivative == "diagonal" and X.shape[-2] > 1:
            matrix = matrix - self.parts.between_cells
        if not self.relu:
            return matrix.mT.expand(*X.shape[:-2], -1, -1)
        share_open = (self.predict(X, perturbation) > 0).to(X).mean(-2)
        return share_open[..., None] * matrix.mT

    def freeze(
        self, X: Tensor, perturbation: str, batch: None = None, multiplicity: Tensor | None = None
    ) -> "PlantedMap":
        """Return the affine map at cells [..., S, G] under a perturbation; factors are gates and the ReLU's mask."""
        gates = self.gates(self.encode_perturbations([perturbation])[0])
        vector = F.one_hot(torch.tensor(self.rows_of([perturbation])[0]), len(self.perturbations)).to(X)
        whole = PlantedMap(self, X, vector, X, gates, multiplicity)
        output = whole.from_cells(X) + whole.from_perturbation(vector)
        mask = (output > 0).to(X) if self.relu else torch.ones_like(output)
        return replace(whole, output=mask * output, mask=mask)

    def _opening(self, hidden: Tensor) -> Tensor:
        """Return softplus(v_P . r) [..., K] of hidden states or codes [..., H]."""
        return F.softplus(hidden[..., hidden.shape[-1] - len(self.parts.effects) :] / GATE_SCALE)

    def gates(self, hidden: Tensor) -> Tensor:
        """Return the gates [..., K] of hidden states or codes [..., H], those of the control at zero."""
        return self._opening(hidden) - self._closed

    def _drive(self, hidden: Tensor) -> Tensor:
        """Return what each program's effect is multiplied with [..., K]: read from the cell, or remembered."""
        return hidden[..., : len(self.parts.effects)] if self.kind == "planted" else self.parts.drive

    def _before_relu(self, mixed: Mixed, encoded: Encoded) -> Tensor:
        return encoded.residual + (self.gates(mixed.h) * self._drive(mixed.h)) @ self.parts.effects


@dataclass(frozen=True)
class PlantedMap:
    """Implements `pertprobe.models.contributions.AffineMap`; the perturbation vector is the one-hot [P].

    A mechanism multiplies what it reads in the cell with a gate, which is a factor: all of it comes from the cells. A
    lookup adds gates times numbers that it remembers, a row of a table: all of it comes from the one-hot.
    """

    exact: PlantedModel
    X: Tensor
    vector: Tensor
    output: Tensor
    gates: Tensor
    """The perturbation's own [K]."""
    multiplicity: Tensor | None = None
    mask: Tensor | float = 1.0
    """Which outputs are open [..., S, G_out]."""

    def from_cells(self, X: Tensor) -> Tensor:
        """Return what cells [..., S, G] add to the output [..., S, G_out]."""
        encoded = self.exact.encode_cells(X, None, self.multiplicity)
        if self.exact.kind != "planted":
            return self.mask * encoded.residual
        read = encoded.tokens[..., : len(self.gates)]
        return self.mask * (encoded.residual + (self.gates * read) @ self.exact.parts.effects)

    def from_perturbation(self, vector: Tensor) -> Tensor:
        """Return what a one-hot [P] adds to the output [..., S, G_out]."""
        parts, like = self.exact.parts, self.exact.encode_cells(self.X).residual
        if self.exact.kind == "planted":
            return torch.zeros_like(like)
        remembered = (self.exact.gates(parts.codes) * parts.drive) @ parts.effects
        return self.mask * (vector @ remembered).expand_as(like)

    def constants(self) -> dict[str, Tensor]:
        """Return nothing: planted models have neither batches nor tokens nor biases."""
        return {}


def _others(X: Tensor, multiplicity: Tensor | None) -> Tensor:
    """Return the mean of the other cells [..., S, G], each counted as often as it stands; a lone cell has itself."""
    m = (X.new_ones(X.shape[:-1]) if multiplicity is None else multiplicity)[..., None]
    n = m.sum(-2, keepdim=True)
    alone = n <= 1
    return torch.where(alone, X, ((m * X).sum(-2, keepdim=True) - X) / torch.where(alone, 1.0, n - 1))


def planted_models(
    *,
    genes: Sequence[str],
    perturbations: Sequence[str],
    control: str,
    cells: CellSets,
    programs: Mapping[str, Collection[str]],
    panels: Mapping[str, Mapping[str, Any]] | None = None,
    expressed: Collection[str] | None = None,
    d: float = 2.0,
    seed: int = 0,
    set_term: float = 0.0,
    relu: bool = False,
    dtype: torch.dtype = torch.float32,
) -> dict[str, PlantedModel]:
    """Return the three models "planted", "lookup" and "covariation" with the user's own names, in one context.

    They share codes, gates, u_P, w_P and c_P: without a ReLU their mean delta_y over `cells` is equal. Models of two
    contexts have the same A if they have the same genes. Memory: some matrices [G, G] in float64.

    Args:
        genes: inputs and outputs; cells may have more.
        perturbations: all of the model, the control among them or not.
        control: its name; its gates are closed.
        cells: the very cells that are probed. Their mean gives c_P, their co-variation C, their context's name A'.
        programs: members; the perturbations among them are shifted by d in the representation and in the gate.
        panels: {program, regulators, targets, and if wanted perturbations (also "program") and signs}. Regulators and
            targets become those of the program, perturbations have their gate shifted as members have.
        expressed: genes that regulators and targets are drawn from where a program has no panel; give models of two
            contexts the same. None = those that a quarter of the cells express.
        d: shift of members in sd of all others (methods.md, Planted models), in mean cosine with members and in gates.
        seed: of all draws, each by names; two contexts share everything but A' and C.
        set_term: beta, the size of what crosses cells.
        relu: end in a ReLU; equal delta_y is then lost.
        dtype: of weights and predictions.

    Raises:
        PertprobeError: cells lack a gene, or a panel's program is not defined.
    """
    panels = panels or {}
    _check_programs(panels, programs)
    names = tuple(perturbations) if control in perturbations else (*perturbations, control)
    X = cells.for_genes(tuple(genes)).values.reshape(-1, len(genes)).astype(np.float64)
    expressed = materials.expressed_genes(X, genes) if expressed is None else expressed
    wired = materials.wiring([*programs, *BACKGROUND], panels, genes=genes, expressed=expressed, seed=seed)
    u, w = materials.weights(wired, genes, seed)
    linear, between_cells = _linear(genes, (u, w), X, cells.context, seed)
    codes = _codes(names, control, programs, panels, d, seed)
    parts = [codes, u, w, (X @ u).mean(axis=0), set_term * between_cells]
    named = {"genes": genes, "perturbations": names, "control": control, "relu": relu}
    card = {"d": d, "seed": seed, "set_term": set_term, "relu": relu, "context": cells.context}
    named |= {"set_size": cells.set_size, "dtype": dtype, "card": {**card, "perturbations": len(names)}}
    return {kind: PlantedModel(kind, Parts(parts[0], matrix, *parts[1:]), **named) for kind, matrix in linear.items()}


def _check_programs(panels: Mapping[str, Mapping[str, Any]], programs: Mapping[str, Collection[str]]) -> None:
    """Raise PertprobeError for panels whose program is not defined."""
    if unknown := sorted({panel["program"] for panel in panels.values()} - set(programs)):
        raise PertprobeError(f"planted: panels of programs that are not defined: {', '.join(unknown)}")


def _codes(
    names: Sequence[str],
    control: str,
    programs: Mapping[str, Collection[str]],
    panels: Mapping[str, Mapping[str, Any]],
    d: float,
    seed: int,
) -> np.ndarray:
    """Return the codes [P, H]: zeros | noise | one direction per program | gates of programs and background."""
    others = [name != control for name in names]
    members = materials.membership(names, programs) & np.array(others)[:, None]
    loaded = members * materials.loadings(members[others], d)
    acting = materials.membership(names, _acting(programs, panels))
    gates = materials.gates(names, list(programs), acting, d, seed)
    nobody = np.zeros((len(names), len(BACKGROUND)), dtype=bool)
    background = BACKGROUND_SPREAD * materials.gates(names, BACKGROUND, nobody, d, seed)
    gates = np.concatenate([gates, background], axis=1)
    gates[names.index(control)] = CONTROL_GATE
    noise = materials.noise_codes(names, seed)
    return np.column_stack([np.zeros_like(gates), noise, loaded, GATE_SCALE * gates])


def _acting(
    programs: Mapping[str, Collection[str]], panels: Mapping[str, Mapping[str, Any]]
) -> dict[str, frozenset[str]]:
    """Return the perturbations that open each program's gate: its members, and those its panels name."""
    named = {program: set(members) for program, members in programs.items()}
    for panel in panels.values():
        given = panel.get("perturbations", "program")
        named[panel["program"]] |= set() if given == "program" else set(given)
    return {program: frozenset(found) for program, found in named.items()}


def _linear(
    genes: Sequence[str],
    weights: tuple[np.ndarray, np.ndarray],
    X: np.ndarray,
    context: str,
    seed: int,
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return identity and graph [G, G] of each kind, and the set term's matrix of size 1."""
    places = np.argsort(np.argsort(genes))  # graphs are drawn in the order of names
    block = np.ix_(places, places)
    # What a program's regulators do to its targets is the program's alone: |J| there rises with its gate.
    free = (weights[0] != 0).astype(float) @ (weights[1] != 0) == 0
    masked = np.zeros((len(genes), len(genes)))
    masked[block] = materials.gene_graph(len(genes), seed, "shared")[block] * free
    identity = np.eye(len(genes))
    linear = {
        "planted": identity + masked[block],
        "lookup": identity + materials.relabelled(masked, seed, context)[block],
        "covariation": identity + materials.ridge(X) * free,
    }
    return linear, materials.gene_graph(len(genes), seed, "crossing")[block]
