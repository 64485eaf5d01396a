# Are the perturbations of a program close to each other in the model's own perturbation code?

SPACES["pert_encoder"] = "pert_embedding"
ASKED["pert_embedding"] = {"settings": {}}


rule measure_pert_embedding:
    input:
        model=model_directory,
        seen="<results>/models/{model}/perturbations.tsv",
        cells=cells_of,
    output:
        temp("<results>/measurements/pert_embedding/shards/{model}/{shard}-of-{shards}.nc"),
    log:
        "<results>/logs/measure_pert_embedding/{model}/{shard}-of-{shards}.log",
    benchmark:
        "<results>/benchmarks/measure_pert_embedding/{model}/{shard}-of-{shards}.tsv"
    conda:
        "../envs/pertprobe.yaml"
    resources:
        gpu=1,
        mem_mb=growing(4000),
        runtime=growing(120),
    params:
        probe="pert_embedding",
        asked=ASKED["pert_embedding"],
        copies=COPIES,
        loading=lambda wildcards: loading(wildcards.model),
        code=measuring_code("pert_embedding"),
    script:
        "../scripts/measure.py"


rule pert_embedding:
    input:
        "<results>/evidence/pert_embedding.tsv",
        multiext("<results>/figures/pert_embedding", ".svg", ".pdf", ".png"),
        every("spaces/pert_encoder/{model}.h5ad", model=MODELS),
