"""Reading an atlas: any slice as labelled xarray, made from the factors of the perturbations that it holds."""

from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
import zarr
from torch import Tensor

from pertprobe.batching import MEMORY_GB
from pertprobe.errors import PertprobeError
from pertprobe.interpret import jacobian
from pertprobe.interpret.atlas.layout import AXES, OWN, SHARED, opened, places
from pertprobe.interpret.jacobian import Core, Factors

Wanted = Iterable[str] | str | None
"""Names, one name, or None for all."""


def open_atlas(path: str | Path) -> "Atlas":
    """Open an atlas; nothing but its names is read. Raises PertprobeError where there is none."""
    return Atlas(opened(path))


class Atlas:
    """J[target, regulator] = d mean Y[target] / d X[regulator] at the mean cell, under every perturbation.

    Slices are multiplied out when they are asked for, from the chunks of the perturbations in them. Unknown names raise
    PertprobeError, all together.
    """

    def __init__(self, store: zarr.Group) -> None:
        """Take the group of `layout`."""
        self._store = store
        self.attributes: dict[str, Any] = dict(store.attrs)
        self.perturbations, self.targets, self.regulators = (tuple(map(str, store[axis][:])) for axis in AXES)

    def __repr__(self) -> str:
        """Say what is in it."""
        context, derivative = (self.attributes[name] for name in ("context", "derivative"))
        sizes = f"{len(self.perturbations)} perturbations x {len(self.targets)} targets x {len(self.regulators)}"
        return f"<Atlas of {context}: {sizes} regulators, {derivative} derivative>"

    def entries(
        self,
        perturbations: Wanted = None,
        targets: Wanted = None,
        regulators: Wanted = None,
        memory_gb: float = MEMORY_GB,
    ) -> xr.DataArray:
        """Return a slice [perturbation, target, regulator], names in the order asked.

        Raises PertprobeError where it is larger than `memory_gb`, and says what to ask instead.
        """
        rows, columns = self._genes(targets, regulators)
        chosen = self._perturbations(perturbations)
        self._refuse_above(memory_gb, len(chosen), len(rows) * len(columns), "targets x regulators")
        found = np.empty((len(chosen), len(rows), len(columns)), self._dtype)
        for which, core in self._cores(chosen):
            found[which] = core.entries(rows, columns).numpy()
        return self._labelled(found, perturbation=chosen, target=rows, regulator=columns)

    def mean(self, perturbations: Wanted = None, targets: Wanted = None, regulators: Wanted = None) -> xr.DataArray:
        """Return the mean Jacobian over perturbations [target, regulator]."""
        rows, columns = self._genes(targets, regulators)
        chosen = self._perturbations(perturbations)
        left = sum(core.outputs(rows).left.sum(0) for _, core in self._cores(chosen)) / len(chosen)
        found = Factors(left, self._shared[1]).entries(range(len(rows)), columns)
        return self._labelled(found.numpy(), target=rows, regulator=columns)

    def norms(self, perturbations: Wanted = None) -> xr.DataArray:
        """Return the Frobenius norm of each Jacobian [perturbation]."""
        chosen = self._perturbations(perturbations)
        found = np.empty(len(chosen), self._dtype)
        for which, core in self._cores(chosen):
            found[which] = core.factors().squared_norms().clamp_min(0).sqrt().numpy()
        return self._labelled(found, perturbation=chosen)

    def cosines(self, perturbations: Wanted = None, memory_gb: float = MEMORY_GB) -> xr.DataArray:
        """Return the cosine similarities of all pairs of Jacobians [perturbation, other]; 0 with one that is 0.

        The cores of all that are asked are held, and blocks of target genes of what they are multiplied out to; raises
        PertprobeError where the cores are larger than `memory_gb`.
        """
        chosen = self._perturbations(perturbations)
        numbers = int(np.prod(self._store["core"].shape[1:]))
        self._refuse_above(memory_gb, len(chosen), numbers, "numbers of its factors")
        found = jacobian.cosines(self._together(chosen), memory_gb).numpy()
        names = [self.perturbations[place] for place in chosen]
        return xr.DataArray(found, {"perturbation": names, "other": names}, ("perturbation", "other"), name="cosine")

    @property
    def _dtype(self) -> np.dtype:
        return self._store["core"].dtype

    @cached_property
    def _shared(self) -> tuple[Tensor, ...]:
        """The weights that all Jacobians have in common, in the order of SHARED."""
        return tuple(torch.from_numpy(self._store[name][:]) for name in SHARED)

    def _perturbations(self, wanted: Wanted) -> np.ndarray:
        found = places(wanted, self.perturbations, "perturbation")
        if not len(found):
            raise PertprobeError("atlas: no perturbation is asked for. Name one, or None for all")
        return found

    def _genes(self, targets: Wanted, regulators: Wanted) -> tuple[np.ndarray, np.ndarray]:
        return places(targets, self.targets, "target"), places(regulators, self.regulators, "regulator")

    def _cores(self, chosen: np.ndarray) -> Iterator[tuple[np.ndarray, Core]]:
        """Yield which of the chosen lie in a chunk, and their Jacobians [P, ...]; each chunk is read once."""
        size = self._store["core"].chunks[0]
        for chunk in np.unique(chosen // size):
            which = np.flatnonzero(chosen // size == chunk)
            rows, own = slice(chunk * size, (chunk + 1) * size), chosen[which] % size
            parts = (torch.from_numpy(self._store[name][rows][own]) for name in OWN)
            yield which, Core(*parts, *self._shared)

    def _together(self, chosen: np.ndarray) -> Core:
        """Return the Jacobians of all that are chosen, in their order."""
        held = {name: np.empty((len(chosen), *self._store[name].shape[1:]), self._store[name].dtype) for name in OWN}
        for which, part in self._cores(chosen):
            for name, values in held.items():
                values[which] = getattr(part, name).numpy()
        return Core(*map(torch.from_numpy, held.values()), *self._shared)

    def _refuse_above(self, memory_gb: float, perturbations: int, each: int, what: str) -> None:
        """Raise PertprobeError where so many numbers of each perturbation do not fit the budget."""
        one = each * self._dtype.itemsize / 1e9
        if perturbations * one <= memory_gb:
            return
        fit = int(memory_gb // one)
        instead = f"at most {fit} perturbations at a time" if fit else "fewer genes"
        raise PertprobeError(
            f"atlas: {perturbations} perturbations x {each} {what} are {perturbations * one:.3g} GB, memory_gb is "
            f"{memory_gb:g}. Ask for {instead}, for mean or norms, or raise memory_gb"
        )

    def _labelled(self, values: np.ndarray, **chosen: np.ndarray) -> xr.DataArray:
        names = dict(zip(AXES, (self.perturbations, self.targets, self.regulators), strict=True))
        coords = {axis: [names[axis][place] for place in where] for axis, where in chosen.items()}
        return xr.DataArray(values, coords, tuple(chosen), name="jacobian", attrs=self.attributes)
