# Does what a program's perturbations share reach the output through the genes of the cell?

COMPARES["detached_jacobian"] = ()
ASKED["detached_jacobian"] = {
    "settings": config["probes"]["detached_jacobian"],
    "seed": SEED,
}
CALLED["detached_jacobian"] = ("probes.detached_jacobian:plant",)


rule measure_detached_jacobian:
    input:
        model=model_directory,
        seen="<results>/models/{model}/perturbations.tsv",
        cells=cells_of,
    output:
        temp("<results>/measurements/detached_jacobian/shards/{model}/{shard}-of-{shards}.nc"),
    log:
        "<results>/logs/measure_detached_jacobian/{model}/{shard}-of-{shards}.log",
    benchmark:
        "<results>/benchmarks/measure_detached_jacobian/{model}/{shard}-of-{shards}.tsv"
    conda:
        "../envs/pertprobe.yaml"
    resources:
        gpu=1,
        mem_mb=growing(4000),
        runtime=growing(120),
    params:
        probe="detached_jacobian",
        asked=ASKED["detached_jacobian"],
        copies=COPIES,
        loading=lambda wildcards: loading(wildcards.model),
        code=measuring_code("detached_jacobian"),
    script:
        "../scripts/measure.py"


rule tabulate_detached_jacobian:
    input:
        measurements=every("measurements/detached_jacobian/{model}.nc", model=MODELS),
        delta_y=every("measurements/delta_y/{model}.nc", model=MODELS),
        seen=every("models/{model}/perturbations.tsv", model=MODELS),
        programs=program_files(),
    output:
        tables_named("detached_jacobian", "responses", "maps", "ranks", "decoded"),
    log:
        "<results>/logs/tabulate_detached_jacobian/tabulate_detached_jacobian.log",
    benchmark:
        "<results>/benchmarks/tabulate_detached_jacobian/tabulate_detached_jacobian.tsv"
    conda:
        "../envs/pertprobe.yaml"
    params:
        probe="detached_jacobian",
        models=list(MODELS),
        pairs=[],
        question=tabled("detached_jacobian"),
        code=code("probes.detached_jacobian:tables", "tabulating"),
    script:
        "../scripts/tabulate.py"


rule detached_jacobian:
    input:
        "<results>/evidence/detached_jacobian.tsv",
        multiext("<results>/figures/detached_jacobian", ".svg", ".pdf", ".png"),
        tables_of("detached_jacobian"),


REPORTED["detached_jacobian"] = f"{RESULTS}/tables/detached_jacobian/maps.tsv"
