# Do perturbations that change the output alike reach it by like routes through the model?

ASKED["routing_coherence"] = {"settings": config["probes"]["routing_coherence"], "seed": SEED}
CALLED["routing_coherence"] = ("probes.routing_coherence:plant",)
BY_RESPONSE.add("routing_coherence")


rule measure_routing_coherence:
    input:
        model=model_directory,
        seen="<results>/models/{model}/perturbations.tsv",
        cells=cells_of,
        responses="<results>/measurements/delta_y/{model}.nc",
    output:
        temp("<results>/measurements/routing_coherence/shards/{model}/{shard}-of-{shards}.nc"),
    log:
        "<results>/logs/measure_routing_coherence/{model}/{shard}-of-{shards}.log",
    benchmark:
        "<results>/benchmarks/measure_routing_coherence/{model}/{shard}-of-{shards}.tsv"
    conda:
        "../envs/pertprobe.yaml"
    resources:
        gpu=1,
        mem_mb=growing(4000),
        runtime=growing(120),
    params:
        probe="routing_coherence",
        asked=ASKED["routing_coherence"],
        copies=COPIES,
        loading=lambda wildcards: loading(wildcards.model),
        code=measuring_code("routing_coherence"),
    script:
        "../scripts/measure.py"


rule tabulate_routing_coherence:
    input:
        measurements=every("measurements/routing_coherence/{model}.nc", model=MODELS),
        delta_y=every("measurements/delta_y/{model}.nc", model=MODELS),
        seen=every("models/{model}/perturbations.tsv", model=MODELS),
        programs=program_files(),
    output:
        tables_named("routing_coherence", "components", "deciles", "summary"),
    log:
        "<results>/logs/tabulate_routing_coherence/tabulate_routing_coherence.log",
    benchmark:
        "<results>/benchmarks/tabulate_routing_coherence/tabulate_routing_coherence.tsv"
    conda:
        "../envs/pertprobe.yaml"
    params:
        probe="routing_coherence",
        models=list(MODELS),
        pairs=[],
        question=tabled("routing_coherence"),
        code=code("probes.routing_coherence:tables", "tabulating"),
    script:
        "../scripts/tabulate.py"


rule routing_coherence:
    input:
        "<results>/evidence/routing_coherence.tsv",
        multiext("<results>/figures/routing_coherence", ".svg", ".pdf", ".png"),
        tables_of("routing_coherence"),


REPORTED["routing_coherence"] = f"{RESULTS}/tables/routing_coherence/summary.tsv"
