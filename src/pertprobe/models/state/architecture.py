"""What a State checkpoint's hyper-parameters say about its forward pass; anything unknown is refused by name."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, NamedTuple, get_args

from pertprobe.errors import PertprobeError, raise_together

Attention = Literal["bidirectional", "causal", "causal_rope", "self"]
"""Which cells a cell sees: all; itself and earlier ones; the same with rotary positions; itself alone."""


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Read by State's training, logging or data code only, or by nothing at all: no value of these changes an output.
HARMLESS = _names("""
    lr loss loss_fn dropout batch_size hvg_dim gene_dim blur softplus freeze_pert_backbone freeze_pert
    transformer_decoder use_effect_gating_token init_from mmd_num_chunks randomize_mmd_chunks llm_name
    wandb_track weight_decay max_steps train_seed val_freq test_freq ckpt_every_n_steps gradient_clip_val
    gradient_accumulation_steps devices strategy use_mfu mfu_kwargs cumulative_flops_use_backward distributional_loss
    decoder_hidden_dims decoder_loss_weight decoder_weight detach_decoder regularization extra_tokens residual_decoder
    batch_predictor batch_predictor_weight batch_token_weight confidence_target_scale confidence_weight
    sinkhorn_weight energy_weight predict_mean gene_names control_pert
    """)
USED = _names("""
    input_dim hidden_dim output_dim pert_dim batch_dim cell_set_len embed_key output_space activation n_encoder_layers
    n_decoder_layers use_basal_projection predict_residual batch_encoder use_batch_token basal_mapping_strategy
    confidence_token mask_attn transformer_backbone_key transformer_backbone_kwargs lora decoder_cfg gene_decoder_bool
    """)
# Options this reader does not implement, with the only values at which they change nothing.
INERT = {
    "nb_decoder": (False, "the negative-binomial decoder was removed from State and has no native reader"),
    "finetune_vci_decoder": (False, "its decoder needs a State Embedding checkpoint that is not in the directory"),
    "confidence_head": (False, "the confidence head of State 0.9 is unknown to this reader"),
}
BACKBONE_HARMLESS = _names("""
    max_position_embeddings n_positions use_cache vocab_size pad_token_id bos_token_id eos_token_id attention_dropout
    hidden_dropout layer_norm_eps tie_word_embeddings rotary_dim use_rotary_embeddings initializer_range pretraining_tp
    resid_pdrop embd_pdrop attn_pdrop reorder_and_upcast_attn torch_dtype dtype
    """)
_EITHER = _names("hidden_size num_hidden_layers num_attention_heads bidirectional_attention")
BACKBONE_USED = {
    "llama": _EITHER | _names("intermediate_size num_key_value_heads head_dim rms_norm_eps rope_theta"),
    "GPT2": _EITHER | _names("n_embd n_layer n_head n_inner layer_norm_epsilon"),
}
_DEFAULTS = {"hidden_act": "silu", "activation_function": "gelu_new", "rope_scaling": None, "scale_attn_weights": True}
_OFF = ("attention_bias", "mlp_bias", "scale_attn_by_inverse_layer_idx", "add_cross_attention")
BACKBONE_INERT = {
    name: (default, "this reader only has the default")
    for name, default in (_DEFAULTS | dict.fromkeys(_OFF, False)).items()
}
LORA_KEYS = _names("enable r alpha dropout bias target adapt_mlp task_type merge_on_eval")
DECODER_KEYS = _names("latent_dim gene_dim hidden_dims dropout residual_decoder")
PLAIN = _names("""
    cell_set_len output_space n_encoder_layers n_decoder_layers use_basal_projection predict_residual confidence_token
    """)
"""Options that are fields of `StateArchitecture`, of the same name and with the same default in State's own code."""
ACTIVATIONS = ("relu", "leakyrelu", "elu", "selu", "gelu")
LEGACY_KEYS = ("confidence_head", "freeze_pert", "nb_decoder")


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
    def from_options(cls, options: Mapping[str, Any], attention: str | None = None) -> "StateArchitecture":
        """Read State's hyper-parameters; `attention` (None or "flag": by the checkpoint's flag) overrides the pattern.

        Raises:
            PertprobeError: an option is unknown or not implemented, a size is missing, or the pattern is undecided.
        """
        _refuse_unknown(options)
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
        added_to_others = self.predict_residual and self.output_space == "all" and self.input_dim != self.output_dim
        faults = {
            f"output_space '{self.output_space}' is none of gene, all, embedding": unknown_space,
            f"activation '{self.activation}' is none of {', '.join(ACTIVATIONS)}": self.activation not in ACTIVATIONS,
            "n_encoder_layers and n_decoder_layers must be at least 1": fewest < 1,
            f"{self.n_heads} attention heads cannot share {self.n_kv_heads} key-value heads": not heads_are_shared,
            f"rotary attention needs an even head_dim, not {self.head_dim}": rotary and self.head_dim % 2 == 1,
            "GPT2 has no rotary positions: attention 'causal_rope' is for llama": rotary and self.backbone == "GPT2",
            f"output_space 'all' adds raw inputs ({self.input_dim}) to outputs ({self.output_dim}): sizes differ": (
                added_to_others
            ),
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
        return {name: getattr(self, name) for name in same.split()} | {
            "batch_dim": self.batch_dim or None,
            "use_batch_token": self.batch_token,
            "basal_mapping_strategy": "batch",
            "mask_attn": self.attention == "self",
            "gene_decoder_bool": decoder is not None,
            "decoder_cfg": decoder_cfg,
            "transformer_backbone_key": self.backbone,
            "transformer_backbone_kwargs": _backbone_kwargs(self),
        }


def resolve_attention(options: Mapping[str, Any], override: str | None = None) -> tuple[Attention, str]:
    """Return the attention pattern and where it came from: "override" or "flag".

    The weights do not tell the pattern, and library versions changed it without changing the files; so a checkpoint
    that does not say must be told.

    Raises:
        PertprobeError: `override` is no pattern, or neither it nor the checkpoint decides.
    """
    known = ", ".join(get_args(Attention))
    if override not in (None, "flag"):
        if override not in get_args(Attention):
            raise PertprobeError(f"attention: '{override}' is none of {known}, flag")
        return override, "override"
    kwargs = options.get("transformer_backbone_kwargs") or {}
    if options.get("transformer_backbone_key", "GPT2") == "GPT2":
        raise PertprobeError(
            "attention: no flag of a checkpoint tells the pattern its GPT2 backbone was trained with; set "
            f"`attention:` ({known}). It was causal with transformers' default attention (sdpa), in spite of State's "
            "class name, and bidirectional only with transformers up to 4.53 and attn_implementation 'eager'"
        )
    if "bidirectional_attention" not in kwargs:
        raise PertprobeError(
            f"attention: the checkpoint has no flag `bidirectional_attention`; set `attention:` ({known}). It was "
            "trained by a State before 0.9.32, whose llama was bidirectional with transformers up to 4.52, but causal "
            "without rotary positions with 4.53 to 4.56; newer State versions read it as causal with rotary "
            "positions, a third function. The weights do not tell which of them was trained"
        )
    if options.get("mask_attn", False):
        return "self", "flag"
    return ("bidirectional" if kwargs["bidirectional_attention"] else "causal_rope"), "flag"


def _refuse_unknown(options: Mapping[str, Any]) -> None:
    backbone = options.get("transformer_backbone_key", "GPT2")
    if backbone not in BACKBONE_USED:
        raise PertprobeError(f"transformer_backbone_key '{backbone}' is neither llama nor GPT2")
    kwargs = options.get("transformer_backbone_kwargs") or {}
    lora, decoder = options.get("lora") or {}, options.get("decoder_cfg") or {}
    faults = _faults("", options, USED | HARMLESS, INERT)
    known = BACKBONE_USED[backbone] | BACKBONE_HARMLESS
    faults += _faults("transformer_backbone_kwargs.", kwargs, known, BACKBONE_INERT)
    faults += _faults("lora.", lora, LORA_KEYS, {}) + _faults("decoder_cfg.", decoder, DECODER_KEYS, {})
    raise_together(faults)


def _faults(prefix: str, options: Mapping[str, Any], known: frozenset[str], inert: Mapping[str, tuple]) -> list[str]:
    unknown = sorted(set(options) - known - set(inert))
    faults = [f"hyper-parameter '{prefix}{key}' = {options[key]!r} is unknown, could change outputs" for key in unknown]
    for key in sorted(set(options) & set(inert)):
        default, reason = inert[key]
        if options[key] != default:
            faults.append(f"hyper-parameter '{prefix}{key}' = {options[key]!r} is not supported: {reason}")
    return faults


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
        **{field.name: field.type(options.get(field.name, field.default)) for field in plain},
        "batch_dim": batch_dim,
        "embed_key": options.get("embed_key"),
        "activation": str(options.get("activation", "gelu")).lower(),
        "batch_encoder": batch_encoder,
        "batch_token": batch_token,
        "lora_scale": float(lora.get("alpha", 32)) / float(lora.get("r", 16)) if lora.get("enable") else None,
        "gene_decoder": _gene_decoder(options),
    }


def _whole(options: Mapping[str, Any], name: str) -> int:
    if not options.get(name):
        raise PertprobeError(f"hyper-parameter '{name}' is missing or zero")
    return int(options[name])


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
