# Do knock-outs and derivatives point to the targets that signed regulons name?

COMPARES["regulon_recovery"] = ()
RECOVERED = config["probes"]["regulon_recovery"]
# Which regulons are asked reaches the test alone: another file measures nothing again.
ASKED["regulon_recovery"] = {"settings": {key: RECOVERED[key] for key in ("genes", "by", "value", "perturbation")}}
CALLED["regulon_recovery"] = ("probes.regulon_recovery:plant",)
GIVEN["regulon_recovery"] = list(RECOVERED["regulons"].values())


rule measure_regulon_recovery:
    input:
        model=model_directory,
        seen="<results>/models/{model}/perturbations.tsv",
        cells=cells_of,
        contexts=every("inputs/cells/{context}.h5ad", context=config["cells"]),
    output:
        temp("<results>/measurements/regulon_recovery/shards/{model}/{shard}-of-{shards}.nc"),
    log:
        "<results>/logs/measure_regulon_recovery/{model}/{shard}-of-{shards}.log",
    benchmark:
        "<results>/benchmarks/measure_regulon_recovery/{model}/{shard}-of-{shards}.tsv"
    conda:
        "../envs/pertprobe.yaml"
    resources:
        gpu=1,
        mem_mb=growing(4000),
        runtime=growing(120),
    params:
        probe="regulon_recovery",
        asked=ASKED["regulon_recovery"],
        copies=COPIES,
        loading=lambda wildcards: loading(wildcards.model),
        code=measuring_code("regulon_recovery"),
    script:
        "../scripts/measure.py"


rule regulon_recovery:
    input:
        "<results>/evidence/regulon_recovery.tsv",
        multiext("<results>/figures/regulon_recovery", ".svg", ".pdf", ".png"),
