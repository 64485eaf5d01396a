# From files to what every later step uses: checked inputs, cell sets, the evaluability table.


rule check_inputs:
    input:
        [
            entry["path"]
            for entry in config["cells"].values()
            if not entry["path"].startswith(RESULTS)
        ],
        [entry["path"] for entry in MODELS.values() if "path" in entry],
        [path for path in program_files() if not path.startswith(RESULTS)],
    output:
        "<results>/checks.json",
    log:
        "<results>/logs/check_inputs/check_inputs.log",
    benchmark:
        "<results>/benchmarks/check_inputs/check_inputs.tsv"
    conda:
        "../envs/pertprobe.yaml"
    params:
        config={
            key: config.get(key)
            for key in (
                "run",
                "simulate",
                "cells",
                "models",
                "pairs",
                "programs",
                "panels",
                "sae",
                "probes",
            )
            if key in config
        },
        code=code("checks:check_inputs"),
    script:
        "../scripts/check_inputs.py"


if "simulate" in config:

    rule simulate:
        input:
            "<results>/checks.json",
        output:
            cells="<results>/simulated/cells.h5ad",
            programs="<results>/simulated/programs.gmt",
            truth="<results>/simulated/truth.tsv",
            panels="<results>/simulated/panels.tsv",
        log:
            "<results>/logs/simulate/simulate.log",
        benchmark:
            "<results>/benchmarks/simulate/simulate.tsv"
        conda:
            "../envs/pertprobe.yaml"
        params:
            settings=config["simulate"],
            seed=SEED,
            code=code("simulate:simulate", "simulate:write_simulation"),
        script:
            "../scripts/simulate.py"


rule cells:
    input:
        checks="<results>/checks.json",
        cells=lambda wildcards: config["cells"][wildcards.context]["path"],
    output:
        "<results>/inputs/cells/{context}.h5ad",
    log:
        "<results>/logs/cells/{context}.log",
    benchmark:
        "<results>/benchmarks/cells/{context}.tsv"
    conda:
        "../envs/pertprobe.yaml"
    params:
        entry=lambda wildcards: config["cells"][wildcards.context],
        seed=SEED,
        code=code("cells:read_cells", "checks:cells_arguments"),
    script:
        "../scripts/cells.py"


rule evaluability:
    input:
        cards=every("models/{model}/card.json", model=MODELS),
        seen=every("models/{model}/perturbations.tsv", model=MODELS),
        programs=program_files(),
    output:
        "<results>/inputs/evaluability.tsv",
    log:
        "<results>/logs/evaluability/evaluability.log",
    benchmark:
        "<results>/benchmarks/evaluability/evaluability.tsv"
    conda:
        "../envs/pertprobe.yaml"
    params:
        models=list(MODELS),
        entries={
            name: {key: entry[key] for key in ("context", "regime")}
            for name, entry in MODELS.items()
        },
        probes=list(config["probes"]),
        programs=config["programs"],
        panels=chosen_panels(),
        code=code(
            "evaluability:evaluability_table",
            "programs:read_programs",
            "programs:read_panels",
        ),
    script:
        "../scripts/evaluability.py"
