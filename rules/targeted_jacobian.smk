# Do a pathway's perturbations strengthen its own regulator -> target derivatives?

COMPARES["targeted_jacobian"] = ()
ASKED["targeted_jacobian"] = {
    "settings": config["probes"]["targeted_jacobian"],
    "panels": panel_genes("targeted_jacobian"),
}
PRODUCTS += every("ranks/{model}.tsv", model=MODELS)


rule measure_targeted_jacobian:
    input:
        model=model_directory,
        seen="<results>/models/{model}/perturbations.tsv",
        cells=cells_of,
    output:
        temp("<results>/measurements/targeted_jacobian/shards/{model}/{shard}-of-{shards}.nc"),
    log:
        "<results>/logs/measure_targeted_jacobian/{model}/{shard}-of-{shards}.log",
    benchmark:
        "<results>/benchmarks/measure_targeted_jacobian/{model}/{shard}-of-{shards}.tsv"
    conda:
        "../envs/pertprobe.yaml"
    resources:
        gpu=1,
        mem_mb=growing(4000),
        runtime=growing(120),
    params:
        probe="targeted_jacobian",
        asked=ASKED["targeted_jacobian"],
        copies=COPIES,
        loading=lambda wildcards: loading(wildcards.model),
        code=measuring_code("targeted_jacobian"),
    script:
        "../scripts/measure.py"


rule rank_targeted_jacobian:
    input:
        "<results>/measurements/targeted_jacobian/{model}.nc",
    output:
        "<results>/ranks/{model}.tsv",
    log:
        "<results>/logs/rank_targeted_jacobian/{model}.log",
    benchmark:
        "<results>/benchmarks/rank_targeted_jacobian/{model}.tsv"
    conda:
        "../envs/pertprobe.yaml"
    params:
        panels=panel_genes("targeted_jacobian"),
        code=code("probes.panels:ranks"),
    script:
        "../scripts/ranks.py"


rule targeted_jacobian:
    input:
        every("ranks/{model}.tsv", model=MODELS),
        "<results>/evidence/targeted_jacobian.tsv",
        multiext("<results>/figures/targeted_jacobian", ".svg", ".pdf", ".png"),
