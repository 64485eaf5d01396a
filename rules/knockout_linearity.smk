# Is what a model answers to a silenced gene what its derivative at the cells foretells?

COMPARES["knockout_linearity"] = ()
ASKED["knockout_linearity"] = {"settings": config["probes"]["knockout_linearity"]}


rule measure_knockout_linearity:
    input:
        model=model_directory,
        seen="<results>/models/{model}/perturbations.tsv",
        cells=cells_of,
        contexts=every("inputs/cells/{context}.h5ad", context=config["cells"]),
    output:
        temp("<results>/measurements/knockout_linearity/shards/{model}/{shard}-of-{shards}.nc"),
    log:
        "<results>/logs/measure_knockout_linearity/{model}/{shard}-of-{shards}.log",
    benchmark:
        "<results>/benchmarks/measure_knockout_linearity/{model}/{shard}-of-{shards}.tsv"
    conda:
        "../envs/pertprobe.yaml"
    resources:
        gpu=1,
        mem_mb=growing(4000),
        runtime=growing(120),
    params:
        probe="knockout_linearity",
        asked=ASKED["knockout_linearity"],
        copies=COPIES,
        loading=lambda wildcards: loading(wildcards.model),
        code=measuring_code("knockout_linearity"),
    script:
        "../scripts/measure.py"


rule tabulate_knockout_linearity:
    input:
        measurements=every("measurements/knockout_linearity/{model}.nc", model=MODELS),
        delta_y=every("measurements/delta_y/{model}.nc", model=MODELS),
        seen=every("models/{model}/perturbations.tsv", model=MODELS),
        programs=program_files(),
    output:
        tables_named("knockout_linearity", "genes"),
    log:
        "<results>/logs/tabulate_knockout_linearity/tabulate_knockout_linearity.log",
    benchmark:
        "<results>/benchmarks/tabulate_knockout_linearity/tabulate_knockout_linearity.tsv"
    conda:
        "../envs/pertprobe.yaml"
    params:
        probe="knockout_linearity",
        models=list(MODELS),
        pairs=[],
        question=tabled("knockout_linearity"),
        code=code("probes.knockout_linearity:tables", "tabulating"),
    script:
        "../scripts/tabulate.py"


rule knockout_linearity:
    input:
        "<results>/evidence/knockout_linearity.tsv",
        multiext("<results>/figures/knockout_linearity", ".svg", ".pdf", ".png"),
        tables_of("knockout_linearity"),
