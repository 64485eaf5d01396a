"""What a State checkpoint's hyper-parameters say about its forward pass; anything unknown is refused by name."""

from collections.abc import Mapping, Sequence
from dataclasses import Field, dataclass, fields
from typing import Any, NamedTuple

from pertprobe.errors import PertprobeError, raise_together
from pertprobe.models.state.options import Attention, names_in, refuse_unknown, resolve_attention

PLAIN = names_in("""
    cell_set_len output_space n_encoder_layers n_decoder_layers use_basal_projection predict_residual confidence_token
    """)
"""Options that are fields of `StateArchitecture`, of the same name and with the same default in State's own code."""
ACTIVATIONS = ("relu", "leakyrelu", "elu", "selu", "gelu")


class GeneDecoder(NamedTuple):
    """Shape of State's LatentToGeneDecoder."""

    hidden_dims: tuple[int, ...]
    gene_dim: int
    residual: bool
    """Output of block i - 1 is added to every odd block i."""


@dataclass(frozen=True)
class StateArchitecture:
    """Everything that decides a State model's forward pass except its weights; names follow State's."""

    input_dim: int
    hidden_dim: int
    output_dim: int
    pert_dim: int
    batch_dim: int = 0
    """Number of batch labels; 0 = unknown."""
    cell_set_len: int = 256
    embed_key: str | None = "X_hvg"
    """Where the input lies in the h5ad; "X_hvg" and None are genes, all others embeddings."""
    output_space: str = "gene"
    """gene, all or embedding."""
    activation: str = "gelu"
    """Of the encoders and `project_out`; the backbone has its own."""
    n_encoder_layers: int = 2
    n_decoder_layers: int = 2
    use_basal_projection: bool = True
    predict_residual: bool = True
    batch_encoder: bool = False
    batch_token: bool = False
    confidence_token: bool = False
    backbone: str = "llama"
    """llama or GPT2."""
    n_layers: int = 4
    n_heads: int = 4
    n_kv_heads: int = 4
    head_dim: int = 16
    intermediate_dim: int = 256
    norm_eps: float = 1e-6
    rope_theta: float = 10000.0
    attention: Attention = "bidirectional"
    attention_source: str = "given"
    """flag, override or given (a model built in memory)."""
    lora_scale: float | None = None
    """alpha / r of the LoRA weights in the file, merged on loading; None without LoRA."""
    gene_decoder: GeneDecoder | None = None
    final_down_then_up: bool | None = None
    """Whether two Linears follow the outputs; None = as State since 0.9.8 has it, for the output space "all" alone."""

    @property
    def has_tail(self) -> bool:
        """Whether two Linears follow the outputs (`final_down_then_up`)."""
        return self.output_space == "all" if self.final_down_then_up is None else self.final_down_then_up

    @property
    def adds_cells(self) -> bool:
        """Whether the raw cells are added to the outputs, before the two Linears at the end."""
        return self.predict_residual and self.has_tail

    @property
    def genes_in(self) -> bool:
        """Whether inputs are genes rather than an embedding."""
        return self.embed_key in ("X_hvg", None)

    @property
    def output_relu(self) -> bool:
        """Whether the output is rectified: gene inputs, or no gene decoder (so embedding outputs are too)."""
        return self.genes_in or self.gene_decoder is None

    @property
    def set_function(self) -> bool:
        """Whether the order of cells does not matter."""
        return self.attention in ("bidirectional", "self")

    @classmethod
    def from_options(
        cls, options: Mapping[str, Any], attention: str | None = None, ignore_options: Sequence[str] = ()
    ) -> "StateArchitecture":
        """Read State's hyper-parameters.

        Args:
            options: by name.
            attention: a pattern in place of the checkpoint's flag; None or "flag" = the flag's.
            ignore_options: names of unknown options that change no output, as the user knows.

        Raises:
            PertprobeError: an option is unknown or not implemented, a size is missing, the pattern is undecided, or an
                option is ignored that is absent, or that this reader reads.
        """
        refuse_unknown(options, ignore_options)
        pattern, source = resolve_attention(options, attention)
        try:
            architecture = cls(attention=pattern, attention_source=source, **_fields(options))
        except (TypeError, ValueError, KeyError) as error:
            raise PertprobeError(f"hyper-parameters: a value is missing or of the wrong type ({error})") from error
        architecture.check()
        return architecture

    def check(self) -> None:
        """Raise PertprobeError, all faults together, where values cannot belong to a State model."""
        unknown_space = self.output_space not in ("gene", "all", "embedding")
        fewest = min(self.n_encoder_layers, self.n_decoder_layers)
        heads_are_shared = self.n_kv_heads > 0 and self.n_heads % self.n_kv_heads == 0
        rotary = self.attention == "causal_rope"
        added_to_others = self.adds_cells and self.input_dim != self.output_dim
        faults = {
            f"output_space '{self.output_space}' is none of gene, all, embedding": unknown_space,
            f"activation '{self.activation}' is none of {', '.join(ACTIVATIONS)}": self.activation not in ACTIVATIONS,
            "n_encoder_layers and n_decoder_layers must be at least 1": fewest < 1,
            f"{self.n_heads} attention heads cannot share {self.n_kv_heads} key-value heads": not heads_are_shared,
            f"rotary attention needs an even head_dim, not {self.head_dim}": rotary and self.head_dim % 2 == 1,
            "GPT2 has no rotary positions: attention 'causal_rope' is for llama": rotary and self.backbone == "GPT2",
            f"raw inputs ({self.input_dim}) are added to outputs ({self.output_dim}): sizes differ": added_to_others,
        }
        raise_together([message for message, found in faults.items() if found], "hyper-parameters: ")

    def hyper_parameters(self) -> dict[str, Any]:
        """Return hyper-parameters from which State and `from_options` read this architecture again (LoRA merged)."""
        same = "input_dim hidden_dim output_dim pert_dim cell_set_len embed_key output_space activation "
        same += "n_encoder_layers n_decoder_layers use_basal_projection predict_residual batch_encoder confidence_token"
        decoder = self.gene_decoder
        decoder_cfg = decoder and {
            "latent_dim": self.output_dim,
            "gene_dim": decoder.gene_dim,
            "hidden_dims": list(decoder.hidden_dims),
            "residual_decoder": decoder.residual,
        }
        told = {} if self.final_down_then_up is None else {"final_down_then_up": self.final_down_then_up}
        told |= {name: getattr(self, name) for name in same.split()}
        return told | {
            "batch_dim": self.batch_dim or None,
            "use_batch_token": self.batch_token,
            "basal_mapping_strategy": "batch",
            "mask_attn": self.attention == "self",
            "gene_decoder_bool": decoder is not None,
            "decoder_cfg": decoder_cfg,
            "transformer_backbone_key": self.backbone,
            "transformer_backbone_kwargs": _backbone_kwargs(self),
        }


def _fields(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of StateArchitecture but the attention, with the defaults of State's own code."""
    sizes = {name: _whole(options, name) for name in ("input_dim", "hidden_dim", "output_dim", "pert_dim")}
    batch_dim = int(options.get("batch_dim") or 0)
    batch_encoder = bool(options.get("batch_encoder", False)) and batch_dim > 0
    # State drops the batch token in silence beside a batch encoder or randomly mapped controls.
    batch_token = bool(options.get("use_batch_token", False)) and not batch_encoder
    batch_token = batch_token and options.get("basal_mapping_strategy", "random") != "random"
    lora = options.get("lora") or {}
    plain = [field for field in fields(StateArchitecture) if field.name in PLAIN]
    return sizes | {
        **_backbone(options, sizes["hidden_dim"]),
        **{field.name: _typed(field, options.get(field.name, field.default)) for field in plain},
        "batch_dim": batch_dim,
        "embed_key": options.get("embed_key"),
        "activation": str(options.get("activation", "gelu")).lower(),
        "batch_encoder": batch_encoder,
        "batch_token": batch_token,
        "final_down_then_up": options.get("final_down_then_up"),
        "lora_scale": float(lora.get("alpha", 32)) / float(lora.get("r", 16)) if lora.get("enable") else None,
        "gene_decoder": _gene_decoder(options),
    }


def _typed(field: Field, value: Any) -> Any:
    return _integral(field.name, value) if field.type is int else field.type(value)


def _whole(options: Mapping[str, Any], name: str) -> int:
    if not options.get(name):
        raise PertprobeError(f"hyper-parameter '{name}' is missing or zero")
    return _integral(name, options[name])


def _integral(name: str, value: Any) -> int:
    """Return a number as a whole one; raises PertprobeError for a fraction."""
    if int(value) != float(value):
        raise PertprobeError(f"hyper-parameter '{name}' = {value!r} is no whole number")
    return int(value)


def _gene_decoder(options: Mapping[str, Any]) -> GeneDecoder | None:
    config = options.get("decoder_cfg")
    if not config or options.get("gene_decoder_bool", True) is False or options.get("output_space") == "embedding":
        return None
    hidden = tuple(int(size) for size in config.get("hidden_dims", (512, 1024)))
    return GeneDecoder(hidden, int(config["gene_dim"]), bool(config.get("residual_decoder", False)))


def _backbone(options: Mapping[str, Any], hidden_dim: int) -> dict[str, Any]:
    """Return the backbone's fields, with the defaults of transformers' LlamaConfig and GPT2Config."""
    kwargs = options.get("transformer_backbone_kwargs") or {}
    llama = options.get("transformer_backbone_key", "GPT2") == "llama"

    def read(default: float, *names: str) -> Any:
        """Return the first of these options that is set, or the default."""
        return next((kwargs[name] for name in names if kwargs.get(name)), default)

    heads = int(read(32 if llama else 12, "num_attention_heads", "n_head"))
    return {
        "backbone": "llama" if llama else "GPT2",
        "n_layers": int(read(32 if llama else 12, "num_hidden_layers", "n_layer")),
        "n_heads": heads,
        "n_kv_heads": int(read(heads, "num_key_value_heads")),
        "head_dim": int(read(hidden_dim // heads, "head_dim")),
        "intermediate_dim": int(read(11008 if llama else 4 * hidden_dim, "intermediate_size", "n_inner")),
        # YAML without a dot in "1e-06" yields text; `layer_norm_eps` is read by neither configuration class.
        "norm_eps": float(read(1e-6 if llama else 1e-5, "rms_norm_eps", "layer_norm_epsilon")),
        "rope_theta": float(read(10000.0, "rope_theta")),
    }


def _backbone_kwargs(a: StateArchitecture) -> dict[str, Any]:
    common = {"hidden_size": a.hidden_dim, "max_position_embeddings": a.cell_set_len, "vocab_size": 4}
    if a.backbone == "GPT2":
        sizes = {"n_embd": a.hidden_dim, "n_layer": a.n_layers, "n_head": a.n_heads, "n_inner": a.intermediate_dim}
        return common | sizes | {"layer_norm_epsilon": a.norm_eps}
    flag = {} if a.attention == "causal" else {"bidirectional_attention": a.attention != "causal_rope"}
    sizes = {"intermediate_size": a.intermediate_dim, "num_hidden_layers": a.n_layers, "num_attention_heads": a.n_heads}
    sizes |= {"num_key_value_heads": a.n_kv_heads, "head_dim": a.head_dim}
    return common | flag | sizes | {"rms_norm_eps": a.norm_eps, "rope_theta": a.rope_theta}
