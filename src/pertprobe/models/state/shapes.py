"""Names and shapes of the weights in a State checkpoint, as State's modules register them."""

from pertprobe.models.state.architecture import GeneDecoder, StateArchitecture

Shapes = dict[str, tuple[int, ...]]


def weight_shapes(a: StateArchitecture) -> Shapes:
    """Return every weight that a forward pass reads; LoRA merged, the unused embeddings of the backbone left out."""
    H, inner = a.hidden_dim, a.output_dim // 8
    shapes = _mlp("pert_encoder", a.pert_dim, H, H, a.n_encoder_layers)
    if a.use_basal_projection:
        shapes |= _mlp("basal_encoder", a.input_dim, H, H, a.n_encoder_layers)
    else:
        shapes |= _linear("basal_encoder", a.input_dim, H)
    shapes |= _llama(a) if a.backbone == "llama" else _gpt2(a)
    shapes |= _mlp("project_out", H, H, a.output_dim, a.n_decoder_layers)
    if a.has_tail:
        shapes |= _linear("final_down_then_up.0", a.output_dim, inner)
        shapes |= _linear("final_down_then_up.2", inner, a.output_dim)
    if a.batch_encoder:
        shapes["batch_encoder.weight"] = (a.batch_dim, H)
    if a.batch_token:
        shapes["batch_token"] = (1, 1, H)
    if a.confidence_token:
        shapes["confidence_token.confidence_token"] = (1, 1, H)
        shapes |= _normed("confidence_token.confidence_projection", (H, H // 2, H // 4), (0, 4))
        shapes |= _linear("confidence_token.confidence_projection.8", H // 4, 1)
    return shapes | (_gene_decoder(a.gene_decoder, a.output_dim) if a.gene_decoder else {})


def _linear(name: str, n_in: int, n_out: int) -> Shapes:
    return {f"{name}.weight": (n_out, n_in), f"{name}.bias": (n_out,)}


def _mlp(name: str, n_in: int, hidden: int, n_out: int, n: int) -> Shapes:
    widths = [n_in, *[hidden] * (n - 1), n_out]
    layers = [_linear(f"{name}.{3 * i}", widths[i], widths[i + 1]) for i in range(n)]
    return {key: shape for layer in layers for key, shape in layer.items()}


def _normed(name: str, widths: tuple[int, ...], indices: tuple[int, ...]) -> Shapes:
    """Return shapes of Linear layers at `indices` of a Sequential, each followed by its LayerNorm."""
    shapes = {}
    for i, n_in, n_out in zip(indices, widths, widths[1:], strict=False):
        shapes |= _linear(f"{name}.{i}", n_in, n_out)
        shapes |= {f"{name}.{i + 1}.weight": (n_out,), f"{name}.{i + 1}.bias": (n_out,)}
    return shapes


def _gene_decoder(decoder: GeneDecoder, latent: int) -> Shapes:
    widths, n = (latent, *decoder.hidden_dims), len(decoder.hidden_dims)
    shapes = {}
    for i in range(n):
        stem, first = (f"gene_decoder.blocks.{i}", 0) if decoder.residual else ("gene_decoder.decoder", 4 * i)
        shapes |= _normed(stem, widths[i : i + 2], (first,))
    last = "final_layer.0" if decoder.residual else f"decoder.{4 * n}"
    return shapes | _linear(f"gene_decoder.{last}", widths[-1], decoder.gene_dim)


def _llama(a: StateArchitecture) -> Shapes:
    H, wide, narrow = a.hidden_dim, a.n_heads * a.head_dim, a.n_kv_heads * a.head_dim
    block = {"self_attn.q_proj": (wide, H), "self_attn.k_proj": (narrow, H), "self_attn.v_proj": (narrow, H)}
    block |= {"self_attn.o_proj": (H, wide), "mlp.gate_proj": (a.intermediate_dim, H)}
    block |= {"mlp.up_proj": (a.intermediate_dim, H), "mlp.down_proj": (H, a.intermediate_dim)}
    block |= {"input_layernorm": (H,), "post_attention_layernorm": (H,)}
    shapes = {
        f"transformer_backbone.layers.{layer}.{name}.weight": shape
        for layer in range(a.n_layers)
        for name, shape in block.items()
    }
    return shapes | {"transformer_backbone.norm.weight": (H,)}


def _gpt2(a: StateArchitecture) -> Shapes:
    H, inner = a.hidden_dim, a.intermediate_dim
    # Conv1D stores its weight as [in, out].
    block = {"attn.c_attn": (H, 3 * H), "attn.c_proj": (H, H), "mlp.c_fc": (H, inner), "mlp.c_proj": (inner, H)}
    shapes = {"transformer_backbone.ln_f.weight": (H,), "transformer_backbone.ln_f.bias": (H,)}
    for layer in range(a.n_layers):
        prefix = f"transformer_backbone.h.{layer}"
        for name, shape in (block | {"ln_1": (H,), "ln_2": (H,)}).items():
            shapes |= {f"{prefix}.{name}.weight": shape, f"{prefix}.{name}.bias": (shape[-1],)}
    return shapes
