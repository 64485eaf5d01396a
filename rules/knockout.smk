# Does silencing a gene in the cells shift the output alike in two contexts, and alike in a program?

COMPARES["knockout"] = ("contexts",)
SPACES["knockout"] = "knockout"
ASKED["knockout"] = {"settings": config["probes"]["knockout"]}


rule measure_knockout:
    input:
        model=model_directory,
        seen="<results>/models/{model}/perturbations.tsv",
        cells=cells_of,
        contexts=every("inputs/cells/{context}.h5ad", context=config["cells"]),
    output:
        temp("<results>/measurements/knockout/shards/{model}/{shard}-of-{shards}.nc"),
    log:
        "<results>/logs/measure_knockout/{model}/{shard}-of-{shards}.log",
    benchmark:
        "<results>/benchmarks/measure_knockout/{model}/{shard}-of-{shards}.tsv"
    conda:
        "../envs/pertprobe.yaml"
    resources:
        gpu=1,
        mem_mb=growing(4000),
        runtime=growing(120),
    params:
        probe="knockout",
        asked=ASKED["knockout"],
        copies=COPIES,
        loading=lambda wildcards: loading(wildcards.model),
        code=measuring_code("knockout"),
    script:
        "../scripts/measure.py"


rule knockout:
    input:
        "<results>/evidence/knockout.tsv",
        multiext("<results>/figures/knockout", ".svg", ".pdf", ".png"),
        every("spaces/knockout/{model}.h5ad", model=MODELS),
