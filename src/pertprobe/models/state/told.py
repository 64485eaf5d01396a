"""What the weights of a checkpoint tell beside its options: how their names begin, and parts that versions differ in.

State's own history, by version: until 0.9.3 and in 0.9.7 residuals are added in hidden space whatever the output space;
0.9.4 adds the raw cells to the outputs and puts two Linears behind them (`final_down_then_up`), whatever the output
space; since 0.9.8 it does so for the output space "all" alone. From 0.9.4 to 0.9.6 one Linear encodes cells. The gene
decoder's sizes are in the options since `decoder_cfg` is.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from torch import Tensor

from pertprobe.errors import PertprobeError, listed

ANCHOR = "pert_encoder.0.weight"
"""A weight that every State transition model has."""
WRAPPERS = frozenset(("_orig_mod", "module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"))
"""Parts of names that torch.compile, DataParallel and FSDP put in; no module of State is called so."""
TAIL = "final_down_then_up."
LATER = ("lora", "use_batch_token", "basal_mapping_strategy", "batch_predictor", "mmd_num_chunks")
"""Options that only versions after 0.9.7 have."""


class Told(NamedTuple):
    """Options completed by what the weights say."""

    options: dict[str, Any]
    notes: tuple[str, ...]
    """What was taken from where, in words."""


def plain_names(state_dict: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Return weights by State's own names, and what stood before or inside them, in words.

    Raises:
        PertprobeError: two weights would have one name.
    """
    bare = {name: ".".join(part for part in name.split(".") if part not in WRAPPERS) for name in state_dict}
    found = {part for name in state_dict for part in name.split(".") if part in WRAPPERS}
    prefix = min((name.removesuffix(ANCHOR) for name in bare.values() if name.endswith(ANCHOR)), key=len, default="")
    bare = {name: plain.removeprefix(prefix) for name, plain in bare.items()}
    if twice := sorted(plain for plain, n in Counter(bare.values()).items() if n > 1):
        raise PertprobeError(f"checkpoint: holds several weights called {listed(twice)}, with and without a prefix")
    said = [f"'{part}.'" for part in sorted(found)] + ([f"'{prefix}'"] if prefix else [])
    notes = (f"names of weights hold {' and '.join(said)}, which was left out",) if said else ()
    return {plain: state_dict[name] for name, plain in bare.items()}, notes


def told_by_weights(options: Mapping[str, Any], names: Iterable[str], shapes: Mapping[str, tuple[int, ...]]) -> Told:
    """Complete hyper-parameters by what weights, under their plain names, say where the options say nothing."""
    found, notes, names = dict(options), [], set(names)
    if "use_basal_projection" not in found and "basal_encoder.weight" in names:
        found["use_basal_projection"] = False
        notes.append("one Linear encodes the cells, as the weights show (State 0.9.4 to 0.9.7)")
    if found.get("decoder_cfg") is None and (sizes := _decoder_sizes(shapes)):
        found["decoder_cfg"] = sizes
        notes.append("the sizes of the gene decoder were read from its weights: the options have no decoder_cfg")
    residual, everything = found.get("predict_residual", True), found.get("output_space", "gene") == "all"
    tail = any(name.startswith(TAIL) for name in names)
    if everything and not tail and not _is_later(found):
        found["final_down_then_up"] = False
        notes += ["residuals are added in hidden space, as in State up to 0.9.3: no final_down_then_up"] * bool(
            residual
        )
    elif tail and not everything:
        found["final_down_then_up"] = True
        notes += ["raw cells are added to the outputs, as in State 0.9.4: final_down_then_up"] * bool(residual)
    return Told(found, tuple(notes))


def _is_later(options: Mapping[str, Any]) -> bool:
    """Return whether a checkpoint is of a version whose output space "all" always has two Linears at its end."""
    kwargs = options.get("transformer_backbone_kwargs")
    flagged = isinstance(kwargs, Mapping) and "bidirectional_attention" in kwargs
    return flagged or any(name in options for name in LATER)


def _decoder_sizes(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any] | None:
    """Return State's `decoder_cfg` of a gene decoder's weights; None where there is none, or another."""
    residual = any(name.startswith("gene_decoder.blocks.") for name in shapes)
    pattern = r"gene_decoder\.blocks\.(\d+)\.0\.weight" if residual else r"gene_decoder\.decoder\.(\d+)\.weight"
    matched = [(match, shape) for name, shape in shapes.items() if (match := re.fullmatch(pattern, name))]
    linears = sorted((int(match.group(1)), shape) for match, shape in matched if len(shape) == 2)
    last = shapes.get("gene_decoder.final_layer.0.weight") if residual else (linears[-1][1] if linears else None)
    if last is None or len(last) != 2:
        return None
    hidden = [shape[0] for _, shape in (linears if residual else linears[:-1])]
    first = linears[0][1][1] if linears else last[1]
    return {"latent_dim": first, "gene_dim": last[0], "hidden_dims": hidden, "residual_decoder": residual}
