"""State's forward pass once more, slowly: plain loops over cells, heads and keys, from the format's description.

It shares no code with the library, so that a mistake would have to be made twice. It also makes random State
directories (options, weights, files) of every variant.
"""

import math
import pickle
from types import SimpleNamespace

import numpy as np
import torch
import yaml

CHOICES = {
    "backbone": ("llama", "GPT2"),
    "pattern": ("bidirectional", "causal", "causal_rope", "self"),
    "activation": ("relu", "leakyrelu", "elu", "selu", "gelu"),
    "n_encoder_layers": (1, 2, 3, 4),
    "n_decoder_layers": (1, 2, 3, 4),
    "use_basal_projection": (True, False, None),
    "predict_residual": (True, False),
    "output_space": ("gene", "all", "embedding"),
    "embed_key": ("X_hvg", None, "X_emb"),
    "batch_encoder": (True, False),
    "use_batch_token": (True, False),
    "basal_mapping_strategy": ("batch", "random"),
    "confidence_token": (True, False),
    "decoder": (None, "plain", "residual", "saved but off"),
    "lora": (True, False),
    "kv_heads": (1, 2, 4),
    "head_dim": (2, 4),
}
"""What is varied; None = the key is absent from the hyper-parameters."""
GENES, PERTURBATIONS, BATCHES, HIDDEN, CELLS = 9, 5, 3, 8, 4


def random_case(seed):
    """Draw one architecture: the choices made and the hyper-parameters State would have saved."""
    rng = np.random.default_rng(seed)
    case = {name: values[rng.integers(len(values))] for name, values in CHOICES.items()}
    if case["backbone"] == "GPT2" and case["pattern"] == "causal_rope":
        case["pattern"] = "causal"
    kwargs = {"hidden_size": HIDDEN, "max_position_embeddings": CELLS, "use_cache": False, "n_positions": CELLS}
    if case["backbone"] == "GPT2":
        kwargs |= {"n_embd": HIDDEN, "n_layer": 2, "n_head": 4}
    else:
        kwargs |= {"intermediate_size": 12, "num_hidden_layers": 2, "num_attention_heads": 4}
        kwargs |= {"num_key_value_heads": case["kv_heads"], "head_dim": case["head_dim"], "layer_norm_eps": 0.5}
        if case["pattern"] != "causal":
            kwargs["bidirectional_attention"] = case["pattern"] != "causal_rope"
    same = "activation n_encoder_layers n_decoder_layers use_basal_projection predict_residual output_space embed_key "
    same += "batch_encoder use_batch_token basal_mapping_strategy confidence_token"
    options = {name: case[name] for name in same.split() if case[name] is not None or name == "embed_key"}
    options |= {"input_dim": GENES, "output_dim": GENES, "hidden_dim": HIDDEN, "pert_dim": PERTURBATIONS}
    options |= {"batch_dim": BATCHES, "cell_set_len": CELLS, "mask_attn": case["pattern"] == "self", "lr": 1e-3}
    options |= {"control_pert": "ctrl", "gene_names": [f"g{i}" for i in range(GENES)], "softplus": True}
    options |= {"transformer_backbone_key": case["backbone"], "transformer_backbone_kwargs": kwargs}
    options["lora"] = {"enable": case["lora"], "r": 2, "alpha": 3, "dropout": 0.05}
    if case["decoder"]:
        options["decoder_cfg"] = {"latent_dim": GENES, "gene_dim": GENES, "hidden_dims": [6, 6, 6, 6]}
        options["decoder_cfg"]["residual_decoder"] = case["decoder"] == "residual"
        options["gene_decoder_bool"] = case["decoder"] != "saved but off"
    return case, options


def has_batch_token(options):
    return options["use_batch_token"] and not options["batch_encoder"] and options["basal_mapping_strategy"] != "random"


def has_decoder(options):
    return bool(options.get("decoder_cfg")) and options["gene_decoder_bool"] and options["output_space"] != "embedding"


def random_weights(options, seed):
    """Draw a state_dict with the keys and shapes of the description, LoRA pairs included."""
    rng = np.random.default_rng(seed)
    weights = {}

    def draw(name, *shape, scale=0.6, centre=0.0):
        values = centre + scale * rng.standard_normal(shape)
        weights[name] = torch.tensor(values, dtype=torch.float32)

    def linear(name, n_in, n_out):
        draw(f"{name}.weight", n_out, n_in)
        draw(f"{name}.bias", n_out)

    def norm(name, n):
        draw(f"{name}.weight", n, scale=0.2, centre=1.0)
        draw(f"{name}.bias", n)

    def perceptron(name, n_in, n_out, layers):
        for i in range(layers):
            linear(f"{name}.{3 * i}", HIDDEN if i else n_in, n_out if i == layers - 1 else HIDDEN)

    def adapted(name, n_in, n_out, transposed=False):
        """One backbone matrix, with its LoRA pair where LoRA is on."""
        shape = (n_in, n_out) if transposed else (n_out, n_in)
        if not options["lora"]["enable"]:
            return draw(f"{name}.weight", *shape)
        draw(f"{name}.base_layer.weight", *shape)
        draw(f"{name}.lora_A.default.weight", 2, n_in)
        return draw(f"{name}.lora_B.default.weight", n_out, 2)

    kwargs = options["transformer_backbone_kwargs"]
    root = "transformer_backbone." + ("base_model.model." if options["lora"]["enable"] else "")
    bias = ".base_layer.bias" if options["lora"]["enable"] else ".bias"
    perceptron("pert_encoder", PERTURBATIONS, HIDDEN, options["n_encoder_layers"])
    if options.get("use_basal_projection", True):
        perceptron("basal_encoder", GENES, HIDDEN, options["n_encoder_layers"])
    else:
        linear("basal_encoder", GENES, HIDDEN)
    if options["transformer_backbone_key"] == "llama":
        wide = 4 * kwargs["head_dim"]
        narrow = kwargs["num_key_value_heads"] * kwargs["head_dim"]
        weights[root + "embed_tokens.weight"] = torch.zeros(4, HIDDEN)
        for layer in range(2):
            block = f"{root}layers.{layer}."
            for name, n in (("q_proj", wide), ("k_proj", narrow), ("v_proj", narrow)):
                adapted(f"{block}self_attn.{name}", HIDDEN, n)
            adapted(block + "self_attn.o_proj", wide, HIDDEN)
            draw(block + "mlp.gate_proj.weight", 12, HIDDEN)
            draw(block + "mlp.up_proj.weight", 12, HIDDEN)
            draw(block + "mlp.down_proj.weight", HIDDEN, 12)
            draw(block + "input_layernorm.weight", HIDDEN, scale=0.2, centre=1.0)
            draw(block + "post_attention_layernorm.weight", HIDDEN, scale=0.2, centre=1.0)
        draw(root + "norm.weight", HIDDEN, scale=0.2, centre=1.0)
    else:
        weights[root + "wte.weight"], weights[root + "wpe.weight"] = torch.zeros(4, HIDDEN), torch.zeros(32, HIDDEN)
        for layer in range(2):
            block = f"{root}h.{layer}."
            norm(block + "ln_1", HIDDEN)
            norm(block + "ln_2", HIDDEN)
            adapted(block + "attn.c_attn", HIDDEN, 3 * HIDDEN, transposed=True)
            draw(block + "attn.c_attn" + bias, 3 * HIDDEN)
            adapted(block + "attn.c_proj", HIDDEN, HIDDEN, transposed=True)
            draw(block + "attn.c_proj" + bias, HIDDEN)
            draw(block + "mlp.c_fc.weight", HIDDEN, 4 * HIDDEN)
            draw(block + "mlp.c_fc.bias", 4 * HIDDEN)
            draw(block + "mlp.c_proj.weight", 4 * HIDDEN, HIDDEN)
            draw(block + "mlp.c_proj.bias", HIDDEN)
        norm(root + "ln_f", HIDDEN)
    perceptron("project_out", HIDDEN, GENES, options["n_decoder_layers"])
    if options["output_space"] == "all":
        linear("final_down_then_up.0", GENES, GENES // 8)
        linear("final_down_then_up.2", GENES // 8, GENES)
    if options["batch_encoder"]:
        draw("batch_encoder.weight", BATCHES, HIDDEN)
    if has_batch_token(options):
        draw("batch_token", 1, 1, HIDDEN)
        linear("batch_classifier.0", HIDDEN, BATCHES)
    if options["confidence_token"]:
        head = "confidence_token.confidence_projection."
        draw("confidence_token.confidence_token", 1, 1, HIDDEN)
        for i, n_in, n_out in ((0, HIDDEN, HIDDEN // 2), (4, HIDDEN // 2, HIDDEN // 4)):
            linear(f"{head}{i}", n_in, n_out)
            norm(f"{head}{i + 1}", n_out)
        linear(head + "8", HIDDEN // 4, 1)
    if has_decoder(options):
        residual = options["decoder_cfg"]["residual_decoder"]
        for i in range(4):
            linear(f"gene_decoder.blocks.{i}.0" if residual else f"gene_decoder.decoder.{4 * i}", 6 if i else GENES, 6)
            norm(f"gene_decoder.blocks.{i}.1" if residual else f"gene_decoder.decoder.{4 * i + 1}", 6)
        linear("gene_decoder.final_layer.0" if residual else "gene_decoder.decoder.16", 6, GENES)
    return weights


def names(prefix, n):
    return ["ctrl", *(f"{prefix}{i}" for i in range(1, n))]


def write_directory(path, options, weights, features=None):
    """Write the files State would have written, names typed as numpy's strings as State has them."""
    (path / "checkpoints").mkdir(parents=True)
    kwargs = {"name": "state", "kwargs": {"hidden_dim": HIDDEN}}
    (path / "config.yaml").write_text(yaml.safe_dump({"data": {"kwargs": {}}, "model": kwargs}))
    dims = {"input_dim": GENES, "gene_dim": np.int64(GENES), "gene_names": options["gene_names"]}
    (path / "var_dims.pkl").write_bytes(pickle.dumps(dims))
    features = torch.eye(PERTURBATIONS) if features is None else features
    perts = {np.str_(name): features[i].clone() for i, name in enumerate(names("p", PERTURBATIONS))}
    torch.save(perts, path / "pert_onehot_map.pt")
    batches = {np.str_(f"b{i}"): torch.eye(BATCHES)[i] for i in range(BATCHES)}
    torch.save(batches, path / "batch_onehot_map.torch")
    torch.save({"state_dict": weights, "hyper_parameters": options}, path / "checkpoints" / "final.ckpt")
    return path


def erf(x):
    return np.vectorize(math.erf, otypes=[float])(x)


ACTIVATE = {
    "relu": lambda x: np.maximum(x, 0),
    "leakyrelu": lambda x: np.where(x > 0, x, 0.01 * x),
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "selu": lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(np.minimum(x, 0))),
    "gelu": lambda x: 0.5 * x * (1 + erf(x / math.sqrt(2))),
}


def forward(options, weights, pattern, pert, cells, batch, multiplicity=None):
    """Run one set of cells [S][G] under one perturbation feature vector; float64.

    Returns preds [S, G], the normed states [T, H], the layers [L + 1][T][H], confidence and decoded genes.
    """
    W = {name: np.asarray(w, dtype=np.float64) for name, w in merged(options, weights).items()}
    act = ACTIVATE[options["activation"]]
    pert_code = perceptron(W, "pert_encoder", options["n_encoder_layers"], act, pert)
    encoded = []
    for cell in cells:
        if options.get("use_basal_projection", True):
            encoded.append(perceptron(W, "basal_encoder", options["n_encoder_layers"], act, cell))
        else:
            encoded.append(affine(W, "basal_encoder", cell))
    sequence = [pert_code + code for code in encoded]
    counts = [1.0] * len(cells) if multiplicity is None else list(multiplicity)
    if options["batch_encoder"]:
        sequence = [x + W["batch_encoder.weight"][b] for x, b in zip(sequence, batch, strict=True)]
    if has_batch_token(options):
        sequence, counts = [W["batch_token"][0, 0], *sequence], [1.0, *counts]
    if options["confidence_token"]:
        sequence, counts = [*sequence, W["confidence_token.confidence_token"][0, 0]], [*counts, 1.0]
    block = llama_block if options["transformer_backbone_key"] == "llama" else gpt2_block
    layers = [sequence]
    for layer in range(2):
        layers.append(block(W, options["transformer_backbone_kwargs"], layer, layers[-1], pattern, counts))
    if options["transformer_backbone_key"] == "llama":
        final = [rms(x, W["transformer_backbone.norm.weight"]) for x in layers[-1]]
    else:
        final = [layer_norm(W, "transformer_backbone.ln_f", x) for x in layers[-1]]
    start = 1 if has_batch_token(options) else 0
    preds = []
    for s, cell in enumerate(cells):
        h = final[start + s]
        if options["predict_residual"] and options["output_space"] == "all":
            y = perceptron(W, "project_out", options["n_decoder_layers"], act, h) + cell
            inner = ACTIVATE["gelu"](affine(W, "final_down_then_up.0", y))
            y = affine(W, "final_down_then_up.2", inner)
        elif options["predict_residual"]:
            y = perceptron(W, "project_out", options["n_decoder_layers"], act, h + encoded[s])
        else:
            y = perceptron(W, "project_out", options["n_decoder_layers"], act, h)
        rectified = options["embed_key"] in ("X_hvg", None) or not has_decoder(options)
        preds.append(np.maximum(y, 0) if rectified else y)
    confidence = confidence_head(W, final[-1]) if options["confidence_token"] else None
    genes = [decode_genes(W, options, y) for y in preds] if has_decoder(options) else None
    return SimpleNamespace(preds=preds, final=final, layers=layers, confidence=confidence, genes=genes)


def merged(options, weights):
    """Fold LoRA pairs into their matrices: W = base + (alpha / r) B A, transposed for GPT2."""
    out = {}
    for name, w in weights.items():
        plain = name.replace("base_model.model.", "")
        if "lora_" in name:
            continue
        if name.endswith("base_layer.weight"):
            stem = name.removesuffix("base_layer.weight")
            a, b = (np.asarray(weights[f"{stem}lora_{x}.default.weight"], dtype=np.float64) for x in "AB")
            delta = options["lora"]["alpha"] / options["lora"]["r"] * (b @ a)
            gpt2 = options["transformer_backbone_key"] == "GPT2"
            w = np.asarray(w, dtype=np.float64) + (delta.T if gpt2 else delta)
        out[plain.replace("base_layer.", "")] = w
    return out


def affine(W, name, x):
    return W[f"{name}.weight"] @ x + W[f"{name}.bias"]


def perceptron(W, name, n_layers, act, x):
    for i in range(n_layers):
        x = affine(W, f"{name}.{3 * i}", x)
        if i < n_layers - 1:
            x = act(x)
    return x


def rms(x, weight, eps=1e-6):
    return weight * x / math.sqrt(sum(v * v for v in x) / len(x) + eps)


def layer_norm(W, name, x, eps=1e-5):
    mean = sum(x) / len(x)
    variance = sum((v - mean) ** 2 for v in x) / len(x)
    return (x - mean) / math.sqrt(variance + eps) * W[f"{name}.weight"] + W[f"{name}.bias"]


def visible(pattern, query, key):
    return {"bidirectional": True, "self": query == key}.get(pattern, key <= query)


def rotate(x, position):
    """Turn pairs (i, i + D/2) by the angle position / 10000^(2i/D), rounded to float32 as State has it."""
    D, out = len(x), np.array(x)
    for i in range(D // 2):
        frequency = np.float32(1.0) / np.float32(np.float32(10000.0) ** np.float32(2 * i / D))
        angle = torch.tensor(np.float32(position) * frequency, dtype=torch.float32)
        c, s = float(angle.cos()), float(angle.sin())
        out[i] = x[i] * c - x[i + D // 2] * s
        out[i + D // 2] = x[i + D // 2] * c + x[i] * s
    return out


def attention(queries, keys, values, pattern, counts):
    """One head: softmax over visible keys, a key of multiplicity n counted n times."""
    mixed = []
    for t, q in enumerate(queries):
        logits = [sum(q * k) / math.sqrt(len(q)) for k in keys]
        seen = [u for u in range(len(keys)) if visible(pattern, t, u)]
        top = max(logits[u] for u in seen)
        weight = {u: counts[u] * math.exp(logits[u] - top) for u in seen}
        mixed.append(sum(weight[u] * values[u] for u in seen) / sum(weight.values()))
    return mixed


def llama_block(W, kwargs, layer, states, pattern, counts):
    name = f"transformer_backbone.layers.{layer}."
    heads, kv, D = kwargs["num_attention_heads"], kwargs["num_key_value_heads"], kwargs["head_dim"]
    normed = [rms(x, W[name + "input_layernorm.weight"]) for x in states]
    outputs = []
    for head in range(heads):
        shared = head // (heads // kv)
        rows, shared_rows = slice(head * D, (head + 1) * D), slice(shared * D, (shared + 1) * D)
        q = [W[name + "self_attn.q_proj.weight"][rows] @ x for x in normed]
        k = [W[name + "self_attn.k_proj.weight"][shared_rows] @ x for x in normed]
        v = [W[name + "self_attn.v_proj.weight"][shared_rows] @ x for x in normed]
        if pattern == "causal_rope":
            q = [rotate(x, t) for t, x in enumerate(q)]
            k = [rotate(x, t) for t, x in enumerate(k)]
        outputs.append(attention(q, k, v, pattern, counts))
    after = []
    for t, x in enumerate(states):
        joined = np.concatenate([head[t] for head in outputs])
        x = x + W[name + "self_attn.o_proj.weight"] @ joined
        normed = rms(x, W[name + "post_attention_layernorm.weight"])
        gate = W[name + "mlp.gate_proj.weight"] @ normed
        gate = gate / (1 + np.exp(-gate))
        after.append(x + W[name + "mlp.down_proj.weight"] @ (gate * (W[name + "mlp.up_proj.weight"] @ normed)))
    return after


def gpt2_block(W, kwargs, layer, states, pattern, counts):
    name = f"transformer_backbone.h.{layer}."
    heads, D = kwargs["n_head"], HIDDEN // kwargs["n_head"]

    def conv(part, x):
        return x @ W[f"{name}{part}.weight"] + W[f"{name}{part}.bias"]

    packed = [conv("attn.c_attn", layer_norm(W, name + "ln_1", x)) for x in states]
    outputs = []
    for head in range(heads):
        q, k, v = ([x[i * HIDDEN + head * D : i * HIDDEN + (head + 1) * D] for x in packed] for i in range(3))
        outputs.append(attention(q, k, v, pattern, counts))
    after = []
    for t, x in enumerate(states):
        x = x + conv("attn.c_proj", np.concatenate([head[t] for head in outputs]))
        inner = conv("mlp.c_fc", layer_norm(W, name + "ln_2", x))
        inner = 0.5 * inner * (1 + np.tanh(math.sqrt(2 / math.pi) * (inner + 0.044715 * inner**3)))
        after.append(x + conv("mlp.c_proj", inner))
    return after


def confidence_head(W, x):
    name = "confidence_token.confidence_projection."
    for i in (0, 4):
        x = ACTIVATE["gelu"](layer_norm(W, f"{name}{i + 1}", affine(W, f"{name}{i}", x)))
    return max(affine(W, name + "8", x)[0], 0.0)


def decode_genes(W, options, x):
    outputs = []
    for i in range(4):
        if options["decoder_cfg"]["residual_decoder"]:
            y = affine(W, f"gene_decoder.blocks.{i}.0", x)
            y = ACTIVATE["gelu"](layer_norm(W, f"gene_decoder.blocks.{i}.1", y))
            y = y + outputs[i - 1] if i % 2 == 1 else y
        else:
            y = affine(W, f"gene_decoder.decoder.{4 * i}", x)
            y = ACTIVATE["gelu"](layer_norm(W, f"gene_decoder.decoder.{4 * i + 1}", y))
        outputs.append(y)
        x = y
    last = "final_layer.0" if options["decoder_cfg"]["residual_decoder"] else "decoder.16"
    return np.maximum(affine(W, f"gene_decoder.{last}", x), 0)
