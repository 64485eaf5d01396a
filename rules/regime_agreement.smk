# Does the zero-shot model answer a program's perturbations as the few-shot model does?

COMPARES["regime_agreement"] = ("regimes",)
MEASURED_BY["regime_agreement"] = "delta_y"
BESIDE["regime_agreement"] = lambda wildcards: {"partners": partners_of("regimes", wildcards)}
DECOMPOSITION = f"{RESULTS}/tables/regime_agreement/decomposition.tsv"
REPORTED["regime_agreement"] = DECOMPOSITION
PRODUCTS += [DECOMPOSITION]


rule tabulate_regime_agreement:
    input:
        measurements=every("measurements/delta_y/{model}.nc", model=MODELS),
        delta_y=every("measurements/delta_y/{model}.nc", model=MODELS),
        seen=every("models/{model}/perturbations.tsv", model=MODELS),
        programs=program_files(),
    output:
        tables_named("regime_agreement", "perturbations"),
    log:
        "<results>/logs/tabulate_regime_agreement/tabulate_regime_agreement.log",
    benchmark:
        "<results>/benchmarks/tabulate_regime_agreement/tabulate_regime_agreement.tsv"
    conda:
        "../envs/pertprobe.yaml"
    params:
        probe="regime_agreement",
        models=list(MODELS),
        pairs=config["pairs"]["regimes"],
        question=tabled("regime_agreement"),
        code=code("probes.regime_agreement:tables", "tabulating"),
    script:
        "../scripts/tabulate.py"


# It judges, and so depends on thresholds, as verdicts do.
rule decompose:
    input:
        evidence="<results>/evidence/regime_agreement.tsv",
        perturbations="<results>/tables/regime_agreement/perturbations.tsv",
        programs=program_files(),
    output:
        DECOMPOSITION,
    log:
        "<results>/logs/decompose/decompose.log",
    benchmark:
        "<results>/benchmarks/decompose/decompose.tsv"
    conda:
        "../envs/pertprobe.yaml"
    params:
        programs=program_settings(),
        conditions=config["thresholds"]["regime_agreement"],
        interest=config["power"],
        code=code("decomposition:decomposition", "decomposition:mean_r"),
    script:
        "../scripts/decompose.py"


rule regime_agreement:
    input:
        "<results>/evidence/regime_agreement.tsv",
        multiext("<results>/figures/regime_agreement", ".svg", ".pdf", ".png"),
        tables_of("regime_agreement"),
        DECOMPOSITION,
