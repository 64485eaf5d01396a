# Does what genes do to genes differ between two contexts more under a program's perturbations?

COMPARES["jacobian_divergence"] = ("contexts",)
ASKED["jacobian_divergence"] = {"settings": config["probes"]["jacobian_divergence"], "seed": SEED}
CALLED["jacobian_divergence"] = ("probes.jacobian_divergence:plant",)


rule measure_jacobian_divergence:
    input:
        model=model_directory,
        seen="<results>/models/{model}/perturbations.tsv",
        cells=cells_of,
        contexts=every("inputs/cells/{context}.h5ad", context=config["cells"]),
    output:
        temp("<results>/measurements/jacobian_divergence/shards/{model}/{shard}-of-{shards}.nc"),
    log:
        "<results>/logs/measure_jacobian_divergence/{model}/{shard}-of-{shards}.log",
    benchmark:
        "<results>/benchmarks/measure_jacobian_divergence/{model}/{shard}-of-{shards}.tsv"
    conda:
        "../envs/pertprobe.yaml"
    resources:
        gpu=1,
        mem_mb=growing(4000),
        runtime=growing(120),
    params:
        probe="jacobian_divergence",
        asked=ASKED["jacobian_divergence"],
        copies=COPIES,
        loading=lambda wildcards: loading(wildcards.model),
        code=measuring_code("jacobian_divergence"),
    script:
        "../scripts/measure.py"


rule tabulate_jacobian_divergence:
    input:
        measurements=every("measurements/jacobian_divergence/{model}.nc", model=MODELS),
        delta_y=every("measurements/delta_y/{model}.nc", model=MODELS),
        seen=every("models/{model}/perturbations.tsv", model=MODELS),
        programs=program_files(),
    output:
        tables_named("jacobian_divergence", "perturbations", "programs"),
    log:
        "<results>/logs/tabulate_jacobian_divergence/tabulate_jacobian_divergence.log",
    benchmark:
        "<results>/benchmarks/tabulate_jacobian_divergence/tabulate_jacobian_divergence.tsv"
    conda:
        "../envs/pertprobe.yaml"
    params:
        probe="jacobian_divergence",
        models=list(MODELS),
        pairs=config["pairs"]["contexts"],
        question=tabled("jacobian_divergence"),
        code=code("probes.jacobian_divergence:tables", "tabulating"),
    script:
        "../scripts/tabulate.py"


rule jacobian_divergence:
    input:
        "<results>/evidence/jacobian_divergence.tsv",
        multiext("<results>/figures/jacobian_divergence", ".svg", ".pdf", ".png"),
        tables_of("jacobian_divergence"),


REPORTED["jacobian_divergence"] = f"{RESULTS}/tables/jacobian_divergence/programs.tsv"
