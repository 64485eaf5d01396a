"""State's hyper-parameters by name: which decide an output, which do not, and which are not implemented here."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

from pertprobe.errors import PertprobeError, raise_together

Attention = Literal["bidirectional", "causal", "causal_rope", "self"]
"""Which cells a cell sees: all; itself and earlier ones; the same with rotary positions; itself alone."""


def names_in(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


# Read by State's training, logging or data code only, or by nothing at all: no value of these changes an output.
HARMLESS = names_in("""
    lr loss loss_fn dropout batch_size hvg_dim gene_dim blur softplus freeze_pert_backbone freeze_pert
    transformer_decoder use_effect_gating_token init_from mmd_num_chunks randomize_mmd_chunks llm_name
    wandb_track weight_decay max_steps train_seed val_freq test_freq ckpt_every_n_steps gradient_clip_val
    gradient_accumulation_steps devices strategy use_mfu mfu_kwargs cumulative_flops_use_backward distributional_loss
    decoder_hidden_dims decoder_loss_weight decoder_weight detach_decoder regularization extra_tokens residual_decoder
    batch_predictor batch_predictor_weight batch_token_weight confidence_target_scale confidence_weight
    sinkhorn_weight energy_weight predict_mean gene_names control_pert decoder_dropout
    """)
USED = names_in("""
    input_dim hidden_dim output_dim pert_dim batch_dim cell_set_len embed_key output_space activation n_encoder_layers
    n_decoder_layers use_basal_projection predict_residual batch_encoder use_batch_token basal_mapping_strategy
    confidence_token mask_attn transformer_backbone_key transformer_backbone_kwargs lora decoder_cfg gene_decoder_bool
    final_down_then_up
    """)
"""State's own, and `final_down_then_up`, which the weights tell."""
# Options this reader does not implement, with the only values at which they change nothing.
INERT = {
    "nb_decoder": (False, "the negative-binomial decoder was removed from State and has no native reader"),
    "finetune_vci_decoder": (False, "its decoder needs a State Embedding checkpoint that is not in the directory"),
    "confidence_head": (False, "the confidence head of State 0.9 is unknown to this reader"),
}
BACKBONE_HARMLESS = names_in("""
    max_position_embeddings n_positions use_cache vocab_size pad_token_id bos_token_id eos_token_id attention_dropout
    hidden_dropout layer_norm_eps tie_word_embeddings rotary_dim use_rotary_embeddings initializer_range pretraining_tp
    resid_pdrop embd_pdrop attn_pdrop reorder_and_upcast_attn torch_dtype dtype d_inner attn_implementation
    _attn_implementation
    """)
_EITHER = names_in("hidden_size num_hidden_layers num_attention_heads bidirectional_attention")
BACKBONE_USED = {
    "llama": _EITHER | names_in("intermediate_size num_key_value_heads head_dim rms_norm_eps rope_theta"),
    "GPT2": _EITHER | names_in("n_embd n_layer n_head n_inner layer_norm_epsilon"),
}
_DEFAULTS = {"hidden_act": "silu", "activation_function": "gelu_new", "rope_scaling": None, "scale_attn_weights": True}
_OFF = ("attention_bias", "mlp_bias", "scale_attn_by_inverse_layer_idx", "add_cross_attention")
BACKBONE_INERT = {
    name: (default, "this reader only has the default")
    for name, default in (_DEFAULTS | dict.fromkeys(_OFF, False)).items()
}
LORA_KEYS = names_in("enable r alpha dropout bias target adapt_mlp task_type merge_on_eval")
DECODER_KEYS = names_in("latent_dim gene_dim hidden_dims dropout residual_decoder")
LEGACY_KEYS = ("confidence_head", "freeze_pert", "nb_decoder")
"""Options that only versions up to 0.9.27 write."""


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


def refuse_unknown(options: Mapping[str, Any], ignore_options: Sequence[str]) -> None:
    """Raise `Faults` for options that are unknown or not implemented, but for the unknown ones to be ignored."""
    unknown, unsupported = unknown_options(options)
    faults = [
        f"hyper-parameter '{name}' = {value!r} is unknown, could change outputs. If only training reads it, name it "
        "under `ignore_options`"
        for name, value in unknown.items()
        if name not in ignore_options
    ]
    for name in ignore_options:
        if name in unsupported or _is_read(name):
            faults.append(f"ignore_options: '{name}' decides what the model computes, and cannot be ignored")
        elif name not in unknown and not _is_there(name, options):
            faults.append(f"ignore_options: '{name}' is none of the checkpoint's hyper-parameters. Leave it out")
    raise_together(faults + [f"hyper-parameter '{name}' {why}" for name, why in unsupported.items()])


def unknown_options(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return unknown options with their values, and those not implemented with the reason; sections by dotted names.

    Raises:
        PertprobeError: the backbone is none that is known, or a section holds no options.
    """
    backbone = options.get("transformer_backbone_key", "GPT2")
    if not isinstance(backbone, str) or backbone not in BACKBONE_USED:
        raise PertprobeError(f"transformer_backbone_key '{backbone}' is neither llama nor GPT2")
    known = BACKBONE_USED[backbone] | BACKBONE_HARMLESS
    sections = [("", options, USED | HARMLESS, INERT)]
    parts = {"transformer_backbone_kwargs": (known, BACKBONE_INERT), "lora": (LORA_KEYS, {})}
    parts |= {"decoder_cfg": (DECODER_KEYS, {})}
    if wrong := [part for part in parts if not isinstance(options.get(part) or {}, Mapping)]:
        raise PertprobeError(f"hyper-parameter '{wrong[0]}' = {options[wrong[0]]!r} holds no options by name")
    sections += [(f"{part}.", options.get(part) or {}, *rules) for part, rules in parts.items()]
    unknown, unsupported = {}, {}
    for prefix, section, names, inert in sections:
        for key in sorted(section, key=str):
            if key in inert and section[key] != inert[key][0]:
                unsupported[f"{prefix}{key}"] = f"= {section[key]!r} is not supported: {inert[key][1]}"
            elif key not in inert and key not in names:
                unknown[f"{prefix}{key}"] = section[key]
    return unknown, unsupported


def _is_read(name: str) -> bool:
    """Return whether an option, of a section by its dotted name, is read by this reader."""
    section, _, key = name.rpartition(".")
    read = {"": USED, "lora": LORA_KEYS, "decoder_cfg": DECODER_KEYS}
    read |= {"transformer_backbone_kwargs": frozenset().union(*BACKBONE_USED.values())}
    return key in read.get(section, ()) or key in (INERT if not section else BACKBONE_INERT)


def _is_there(name: str, options: Mapping[str, Any]) -> bool:
    """Return whether a checkpoint has an option, of a section by its dotted name."""
    section, _, key = name.rpartition(".")
    return key in ((options.get(section) or {}) if section else options)
