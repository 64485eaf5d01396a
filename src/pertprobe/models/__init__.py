"""Models that can be probed: State's, those built here, and those of other packages' entry points."""

from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pertprobe.errors import PertprobeError
from pertprobe.roles import KNOWN

if TYPE_CHECKING:
    import torch

    from pertprobe.models.base import Model

GROUP = "pertprobe.models"
"""Entry points of this group are functions (path, **options) -> Model, called `kind` in a config."""


def load_model(
    path: str | Path,
    *,
    kind: str = "state",
    attention: str | None = None,
    dtype: "torch.dtype | str | None" = None,
    device: "torch.device | str" = "cpu",
    checkpoint: str | None = None,
    genes: str | Path | None = None,
    control: str | None = None,
    ignore_options: Sequence[str] = (),
    tf32: bool = False,
    agents: Mapping[str, Any] | None = None,
) -> "Model":
    """Load a trained model.

    Args:
        path: what the model's kind reads; for "state" a State model directory.
        kind: "state", a kind of `roles.KNOWN`, or the name of an entry point of the group `pertprobe.models`.
        attention: bidirectional, causal, causal_rope or self; None or "flag" = what the checkpoint says.
        dtype: float32 (the default) or float64, by name or as torch's.
        device: where the weights live.
        checkpoint: a checkpoint's file name, if not the default.
        genes: of "state": a file of the names of its inputs, one a line, where the directory does not say them.
        control: of "state": the label of unperturbed cells, where the directory does not say it.
        ignore_options: of "state": hyper-parameters that its reader does not know and that change no output.
        tf32: whether a GPU may round the factors of matrix products in float32 to 11 significant bits of 24. torch has
            one such setting for a whole process, and environments that turn it on: the model loaded last decides.
        agents: what a config says of labels (`data.agent_table.agents_of`); its perturbations are then agents.

    Raises:
        PertprobeError: the kind is unknown, or the model cannot be read.
    """
    if str(device).startswith("cuda"):
        import torch

        torch.backends.cuda.matmul.allow_tf32 = tf32
    given = {"attention": attention, "dtype": _dtype(dtype), "device": device, "checkpoint": checkpoint}
    given |= {"genes": genes, "control": control, "ignore_options": ignore_options or None}
    model = _loaded(path, kind, {name: value for name, value in given.items() if value is not None})
    if not agents:
        return model
    from pertprobe.data.agent_table import agents_of
    from pertprobe.models.by_agent import by_agent

    return by_agent(model, agents_of(agents))


def _loaded(path: str | Path, kind: str, options: dict[str, Any]) -> "Model":
    if kind == "state":
        from pertprobe.models.state.load import load_state

        return load_state(path, **options)
    if told := [name for name in ("genes", "control", "ignore_options") if name in options]:
        raise PertprobeError(f"model: {' and '.join(told)} belong to the kind state, not to '{kind}'. Leave them out")
    if kind in KNOWN:
        from pertprobe.models.known.training import load_known

        return load_known(path, kind, **options)
    found = {entry.name: entry for entry in entry_points(group=GROUP)}
    if kind not in found:
        available = ", ".join(["state", *KNOWN, *sorted(found)])
        raise PertprobeError(f"model: kind '{kind}' is unknown (available: {available})")
    return found[kind].load()(path, **options)


def _dtype(dtype: "torch.dtype | str | None") -> "torch.dtype":
    import torch

    known = {"float32": torch.float32, "float64": torch.float64}
    name = str(dtype or "float32").removeprefix("torch.")
    if name not in known:
        raise PertprobeError(f"model: dtype '{dtype}' is none of {', '.join(known)}")
    return known[name]
