# Does the output of a program's genes read the direction in which its perturbations lie apart?

COMPARES["concept_alignment"] = ()
ASKED["concept_alignment"] = {
    "settings": config["probes"]["concept_alignment"],
    "panels": {name: {key: panel[key] for key in ("program", "targets")} for name, panel in config["panels"].items()},
    "programs": {key: config["programs"][key] for key in ("patterns", "lists")},
    "seed": SEED,
}
CALLED["concept_alignment"] = ("probes.concept_alignment:plant",)


rule measure_concept_alignment:
    input:
        model=model_directory,
        seen="<results>/models/{model}/perturbations.tsv",
        cells=cells_of,
        programs=program_files(),
        contexts=every("inputs/cells/{context}.h5ad", context=config["cells"]),
    output:
        temp("<results>/measurements/concept_alignment/shards/{model}/{shard}-of-{shards}.nc"),
    log:
        "<results>/logs/measure_concept_alignment/{model}/{shard}-of-{shards}.log",
    benchmark:
        "<results>/benchmarks/measure_concept_alignment/{model}/{shard}-of-{shards}.tsv"
    conda:
        "../envs/pertprobe.yaml"
    resources:
        gpu=1,
        mem_mb=growing(4000),
        runtime=growing(120),
    params:
        probe="concept_alignment",
        asked=ASKED["concept_alignment"],
        copies=COPIES,
        loading=lambda wildcards: loading(wildcards.model),
        code=measuring_code("concept_alignment"),
    script:
        "../scripts/measure.py"


rule concept_alignment:
    input:
        "<results>/evidence/concept_alignment.tsv",
        multiext("<results>/figures/concept_alignment", ".svg", ".pdf", ".png"),
