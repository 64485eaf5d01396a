# Sparse autoencoders: trained or read, judged, and compared with those of other seeds.

TRAINED_SAE = [name for name, entry in config["sae"].items() if "path" not in entry]
READ_SAE = [name for name, entry in config["sae"].items() if "path" in entry]
COMPARED_SAE = [name for name, entry in config["sae"].items() if entry["seeds"] > 1]


rule train_sae:
    input:
        models=lambda wildcards: [directory_of(model) for model in pooled(wildcards)],
        seen=lambda wildcards: every("models/{model}/perturbations.tsv", model=pooled(wildcards)),
        cells=lambda wildcards: [cells_of_model(model) for model in pooled(wildcards)],
    output:
        multiext("<results>/sae/{sae}/", "cfg.json", "sae_weights.safetensors"),
    log:
        "<results>/logs/train_sae/{sae}.log",
    wildcard_constraints:
        sae="|".join(TRAINED_SAE) or "none",
    conda:
        "../envs/pertprobe.yaml"
    params:
        # How many further ones there are does not change this one.
        settings=lambda wildcards: {key: value for key, value in config["sae"][wildcards.sae].items() if key != "seeds"},
        given=content_of_pool,
        loading=lambda wildcards: [loading(model) for model in pooled(wildcards)],
        seed=SEED,
        code=code(
            "interpret.sae:train_sae",
            "interpret.sae:training_settings",
            "interpret.sae:write_saelens",
            "interpret.sae.pool:pooled_models",
            "interpret.sae.pool:pooled_activations",
            "interpret.sae.pool:sae_seed",
        ),
    script:
        "../scripts/train_sae.py"


# The same on the same activations from other seeds: 1, 2, ... The one in use is number 0.
use rule train_sae as train_further_sae with:
    output:
        multiext("<results>/sae/{sae}/seeds/{number}/", "cfg.json", "sae_weights.safetensors"),
    log:
        "<results>/logs/train_further_sae/{sae}/{number}.log",
    wildcard_constraints:
        sae="|".join(TRAINED_SAE) or "none",
        number=r"[1-9]\d*",


# One trained elsewhere, brought into the same form; its width is compared with that of its models before anything reads
# through it.
rule read_sae:
    input:
        models=lambda wildcards: [directory_of(model) for model in pooled(wildcards)],
        seen=lambda wildcards: every("models/{model}/perturbations.tsv", model=pooled(wildcards)),
        sae=lambda wildcards: given(config["sae"][wildcards.sae]["path"]),
    output:
        multiext("<results>/sae/{sae}/", "cfg.json", "sae_weights.safetensors"),
    log:
        "<results>/logs/read_sae/{sae}.log",
    wildcard_constraints:
        sae="|".join(READ_SAE) or "none",
    conda:
        "../envs/pertprobe.yaml"
    params:
        settings=lambda wildcards: config["sae"][wildcards.sae],
        given=lambda wildcards: content_of_pool(wildcards) | content(config["sae"][wildcards.sae]["path"]),
        loading=lambda wildcards: [loading(model) for model in pooled(wildcards)],
        code=code(
            "interpret.sae:read_sae",
            "interpret.sae:sae_arguments",
            "interpret.sae:write_saelens",
            "interpret.sae.pool:check_width",
            "models:load_model",
        ),
    script:
        "../scripts/read_sae.py"


rule sae_quality:
    input:
        models=lambda wildcards: [directory_of(model) for model in pooled(wildcards)],
        cells=lambda wildcards: [cells_of_model(model) for model in pooled(wildcards)],
        sae=multiext("<results>/sae/{sae}/", "cfg.json", "sae_weights.safetensors"),
    output:
        quality="<results>/sae/{sae}/quality.tsv",
        pca="<results>/sae/{sae}/pca.safetensors",
    log:
        "<results>/logs/sae_quality/{sae}.log",
    conda:
        "../envs/pertprobe.yaml"
    params:
        settings=lambda wildcards: {key: config["sae"][wildcards.sae][key] for key in ("models", "layer", "cells")},
        given=content_of_pool,
        loading=lambda wildcards: [loading(model) for model in pooled(wildcards)],
        seed=SEED,
        code=code(
            "interpret.sae:quality",
            "interpret.sae:with_rival",
            "interpret.sae:principal_components",
            "interpret.sae:read_saelens",
            "interpret.sae:write_components",
            "interpret.sae.pool:pooled_models",
            "interpret.sae.pool:pooled_activations",
        ),
    script:
        "../scripts/sae_quality.py"


rule sae_stability:
    input:
        models=lambda wildcards: [directory_of(model) for model in pooled(wildcards)],
        cells=lambda wildcards: [cells_of_model(model) for model in pooled(wildcards)],
        sae="<results>/sae/{sae}/cfg.json",
        further=lambda wildcards: every(
            "sae/{sae}/seeds/{number}/cfg.json",
            sae=wildcards.sae,
            number=range(1, config["sae"][wildcards.sae]["seeds"]),
        ),
    output:
        stability="<results>/sae/{sae}/stability.tsv",
        features="<results>/sae/{sae}/features.tsv",
    log:
        "<results>/logs/sae_stability/{sae}.log",
    conda:
        "../envs/pertprobe.yaml"
    params:
        settings=lambda wildcards: config["sae"][wildcards.sae],
        given=content_of_pool,
        loading=lambda wildcards: [loading(model) for model in pooled(wildcards)],
        seed=SEED,
        code=code(
            "interpret.sae:read_saelens",
            "interpret.sae:train_sae",
            "interpret.sae:training_settings",
            "interpret.sae.stability:stability_tables",
            "interpret.sae.pool:pooled_models",
            "interpret.sae.pool:pooled_activations",
            "interpret.sae.pool:pooled_dictionaries",
            "interpret.sae.pool:sae_seed",
        ),
    script:
        "../scripts/sae_stability.py"
