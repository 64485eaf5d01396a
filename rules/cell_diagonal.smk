# targeted_jacobian within one cell, the others held fixed, and how much of it crosses cells.

COMPARES["cell_diagonal"] = ()
ASKED["cell_diagonal"] = {
    "settings": config["probes"]["cell_diagonal"],
    "panels": panel_genes("cell_diagonal"),
    "seed": SEED,
}


rule measure_cell_diagonal:
    input:
        model=model_directory,
        seen="<results>/models/{model}/perturbations.tsv",
        cells=cells_of,
    output:
        temp("<results>/measurements/cell_diagonal/shards/{model}/{shard}-of-{shards}.nc"),
    log:
        "<results>/logs/measure_cell_diagonal/{model}/{shard}-of-{shards}.log",
    benchmark:
        "<results>/benchmarks/measure_cell_diagonal/{model}/{shard}-of-{shards}.tsv"
    conda:
        "../envs/pertprobe.yaml"
    resources:
        gpu=1,
        mem_mb=growing(4000),
        runtime=growing(120),
    params:
        probe="cell_diagonal",
        asked=ASKED["cell_diagonal"],
        copies=COPIES,
        loading=lambda wildcards: loading(wildcards.model),
        code=measuring_code("cell_diagonal"),
    script:
        "../scripts/measure.py"


rule cell_diagonal:
    input:
        "<results>/evidence/cell_diagonal.tsv",
        multiext("<results>/figures/cell_diagonal", ".svg", ".pdf", ".png"),
