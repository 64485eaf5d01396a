# Models: trained where the config says so, checked and described, and their responses measured.

SPACES["delta_y"] = "delta_y"
ASKED["delta_y"] = {"settings": {}}


rule train:
    input:
        checks="<results>/inputs/checked.json",
        cells=lambda wildcards: config["cells"][MODELS[wildcards.model]["context"]]["path"],
    output:
        directory("<results>/trained/{model}"),
    log:
        "<results>/logs/train/{model}.log",
    benchmark:
        "<results>/benchmarks/train/{model}.tsv"
    conda:
        "../envs/pertprobe.yaml"
    params:
        entry=lambda wildcards: MODELS[wildcards.model],
        cells=training_source,
        seed=SEED,
        code=code("train:train"),
    script:
        "../scripts/train.py"


# The gate of measurements: the model can be read and passes its checks. It knows of no other model, so that one more
# model in the config measures nothing again.
rule seen:
    input:
        checks="<results>/inputs/checked.json",
        model=model_directory,
        split=split_of,
    output:
        "<results>/models/{model}/perturbations.tsv",
    log:
        "<results>/logs/seen/{model}.log",
    benchmark:
        "<results>/benchmarks/seen/{model}.tsv"
    conda:
        "../envs/pertprobe.yaml"
    params:
        label=lambda wildcards: config["cells"][MODELS[wildcards.model]["context"]]["context"],
        loading=lambda wildcards: loading(wildcards.model),
        code=code("models:load_model", "cards:perturbation_table", "cards:own_split"),
    script:
        "../scripts/seen.py"


rule card:
    input:
        checks="<results>/inputs/checked.json",
        models=all_directories,
        cells=cells_of,
    output:
        "<results>/models/{model}/card.json",
    log:
        "<results>/logs/card/{model}.log",
    benchmark:
        "<results>/benchmarks/card/{model}.tsv"
    conda:
        "../envs/pertprobe.yaml"
    params:
        entry=lambda wildcards: MODELS[wildcards.model],
        loading={model: loading(model) for model in MODELS},
        code=code("models:load_model", "cards:model_card"),
    script:
        "../scripts/card.py"


rule measure_delta_y:
    input:
        model=model_directory,
        seen="<results>/models/{model}/perturbations.tsv",
        cells=cells_of,
    output:
        temp("<results>/measurements/delta_y/shards/{model}/{shard}-of-{shards}.nc"),
    log:
        "<results>/logs/measure_delta_y/{model}/{shard}-of-{shards}.log",
    benchmark:
        "<results>/benchmarks/measure_delta_y/{model}/{shard}-of-{shards}.tsv"
    conda:
        "../envs/pertprobe.yaml"
    params:
        probe="delta_y",
        asked=ASKED["delta_y"],
        loading=lambda wildcards: loading(wildcards.model),
        code=measuring_code("delta_y"),
    script:
        "../scripts/measure.py"


rule quality:
    input:
        measurement="<results>/measurements/delta_y/{model}.nc",
        card="<results>/models/{model}/card.json",
        seen="<results>/models/{model}/perturbations.tsv",
        cells=lambda wildcards: config["cells"][MODELS[wildcards.model]["context"]]["path"],
    output:
        "<results>/models/{model}/quality.tsv",
    log:
        "<results>/logs/quality/{model}.log",
    benchmark:
        "<results>/benchmarks/quality/{model}.tsv"
    conda:
        "../envs/pertprobe.yaml"
    params:
        entry=lambda wildcards: config["cells"][MODELS[wildcards.model]["context"]],
        code=code("quality:quality_table", "cells:observed_delta_y"),
    script:
        "../scripts/quality.py"


rule train_sae:
    input:
        models=lambda wildcards: [directory_of(model) for model in pooled(wildcards)],
        seen=lambda wildcards: every("models/{model}/perturbations.tsv", model=pooled(wildcards)),
        cells=lambda wildcards: [cells_of_model(model) for model in pooled(wildcards)],
    output:
        multiext(
            "<results>/sae/{sae}/",
            "cfg.json",
            "sae_weights.safetensors",
            "quality.tsv",
        ),
    log:
        "<results>/logs/train_sae/{sae}.log",
    benchmark:
        "<results>/benchmarks/train_sae/{sae}.tsv"
    conda:
        "../envs/pertprobe.yaml"
    params:
        settings=lambda wildcards: config["sae"][wildcards.sae],
        loading=lambda wildcards: [loading(model) for model in pooled(wildcards)],
        seed=SEED,
        code=code(
            "sae:train_sae",
            "sae:quality",
            "sae.activations:sampled_activations",
            "models:load_model",
        ),
    script:
        "../scripts/train_sae.py"
