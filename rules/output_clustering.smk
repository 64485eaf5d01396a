# Do the perturbations of a program change the output alike, and fall into the same clusters?

MEASURED_BY["output_clustering"] = "delta_y"


rule tabulate_output_clustering:
    input:
        measurements=every("measurements/delta_y/{model}.nc", model=MODELS),
        delta_y=every("measurements/delta_y/{model}.nc", model=MODELS),
        seen=every("models/{model}/perturbations.tsv", model=MODELS),
        programs=program_files(),
    output:
        tables_named("output_clustering", "clusters", "enrichment"),
    log:
        "<results>/logs/tabulate_output_clustering/tabulate_output_clustering.log",
    benchmark:
        "<results>/benchmarks/tabulate_output_clustering/tabulate_output_clustering.tsv"
    conda:
        "../envs/pertprobe.yaml"
    params:
        probe="output_clustering",
        models=list(MODELS),
        pairs=[],
        question=tabled("output_clustering"),
        code=code("probes.output_clustering:tables", "tabulating"),
    script:
        "../scripts/tabulate.py"


rule output_clustering:
    input:
        "<results>/evidence/output_clustering.tsv",
        multiext("<results>/figures/output_clustering", ".svg", ".pdf", ".png"),
        tables_of("output_clustering"),
        every("spaces/delta_y/{model}.h5ad", model=MODELS),
