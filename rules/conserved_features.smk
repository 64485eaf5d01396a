# Do two contexts hold a program in the same features of their joint sparse autoencoder?

COMPARES["conserved_features"] = ("contexts",)
MEASURED_BY["conserved_features"] = "sae_features"
BESIDE["conserved_features"] = lambda wildcards: {
    "partners": partners_of("contexts", wildcards),
    "pooled": config["sae"][READ]["models"],
}
READ = config["probes"]["sae_features"]["sae"]


rule tabulate_conserved_features:
    input:
        measurements=every("measurements/sae_features/{model}.nc", model=MODELS),
        delta_y=every("measurements/delta_y/{model}.nc", model=MODELS),
        seen=every("models/{model}/perturbations.tsv", model=MODELS),
        programs=program_files(),
        features=(f"<results>/sae/{READ}/features.tsv" if config["sae"][READ]["seeds"] > 1 else []),
    output:
        tables_named("conserved_features", "features", "summary"),
    log:
        "<results>/logs/tabulate_conserved_features/tabulate_conserved_features.log",
    benchmark:
        "<results>/benchmarks/tabulate_conserved_features/tabulate_conserved_features.tsv"
    conda:
        "../envs/pertprobe.yaml"
    params:
        probe="conserved_features",
        models=list(MODELS),
        pairs=config["pairs"]["contexts"],
        question=tabled("conserved_features") | {"permutations": config["statistics"]["permutations"]},
        code=code("probes.conserved_features:tables", "tabulating"),
    script:
        "../scripts/tabulate.py"


rule conserved_features:
    input:
        "<results>/evidence/conserved_features.tsv",
        multiext("<results>/figures/conserved_features", ".svg", ".pdf", ".png"),
        tables_of("conserved_features"),


REPORTED["conserved_features"] = f"{RESULTS}/tables/conserved_features/summary.tsv"
