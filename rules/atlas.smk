# Every perturbation x every gene pair at the mean cell, as factors: a target of its own, `snakemake atlas`.

ATLAS = config["atlas"]
ATLAS_PARAMS = {key: ATLAS[key] for key in ("derivative", "dtype")}
ATLAS_PARAMS["perturbations"] = None if ATLAS["perturbations"] == "all" else ATLAS["perturbations"]
WRITING_ATLAS = ("interpret.atlas.writing:write_atlas", "data.cell_sets:cells_for", "models:load_model")


rule atlas:
    input:
        every("atlas/{model}.zarr", model=MODELS if ATLAS["models"] == "all" else ATLAS["models"]),


rule measure_atlas:
    input:
        model=model_directory,
        seen="<results>/models/{model}/perturbations.tsv",
        cells=cells_of,
    output:
        temp(directory("<results>/atlas/shards/{model}/{shard}-of-{shards}.zarr")),
    log:
        "<results>/logs/measure_atlas/{model}/{shard}-of-{shards}.log",
    conda:
        "../envs/pertprobe.yaml"
    resources:
        gpu=1,
        mem_mb=growing(4000),
        runtime=growing(120),
    params:
        atlas=ATLAS_PARAMS,
        given=lambda wildcards: content_of_models(wildcards.model),
        loading=lambda wildcards: loading(wildcards.model),
        code=code(*WRITING_ATLAS),
    script:
        "../scripts/atlas.py"


rule join_atlas:
    input:
        every("atlas/shards/{{model}}/{shard}-of-{shards}.zarr", shard=range(SHARDS), shards=SHARDS),
    output:
        directory("<results>/atlas/{model}.zarr"),
    log:
        "<results>/logs/join_atlas/{model}.log",
    conda:
        "../envs/pertprobe.yaml"
    params:
        # Shards are temporary, and what is gone cannot be outdated: all that they depend on stands here again.
        atlas=ATLAS_PARAMS,
        given=lambda wildcards: content_of_models(wildcards.model),
        loading=lambda wildcards: loading(wildcards.model),
        written=code(*WRITING_ATLAS),
        code=code("interpret.atlas.writing:join_atlases"),
    script:
        "../scripts/join_atlas.py"
