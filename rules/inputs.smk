# From files to what every later step uses: checked inputs, cell sets, the evaluability table.


# Everything waits for this gate, so whatever made it run again would make everything run again: it has no params and no
# inputs, and looks at the config by itself. What changes later is checked by `recheck_inputs`, which nothing waits for.
rule check_inputs:
    output:
        "<results>/inputs/checked.json",
    log:
        "<results>/logs/check_inputs/check_inputs.log",
    conda:
        "../envs/pertprobe.yaml"
    script:
        "../scripts/check_inputs.py"


rule recheck_inputs:
    input:
        gate="<results>/inputs/checked.json",
        files=given(sorted(GIVEN.paths)),
    output:
        checks="<results>/checks.json",
        census="<results>/inputs/census.tsv",
    log:
        "<results>/logs/recheck_inputs/recheck_inputs.log",
    priority: 100
    conda:
        "../envs/pertprobe.yaml"
    params:
        given=GIVEN.whole,
        config={
            key: config[key] for key in ("run", "simulate", "cells", "models", "programs", "panels") if key in config
        },
        code=code("workflow.checks:check_inputs"),
    script:
        "../scripts/recheck_inputs.py"


if "simulate" in config:

    rule simulate:
        input:
            "<results>/inputs/checked.json",
        output:
            cells="<results>/simulated/cells.h5ad",
            programs="<results>/simulated/programs.gmt",
            truth="<results>/simulated/truth.tsv",
            panels="<results>/simulated/panels.tsv",
            regulons="<results>/simulated/regulons.tsv",
        log:
            "<results>/logs/simulate/simulate.log",
        conda:
            "../envs/pertprobe.yaml"
        params:
            settings=config["simulate"],
            seed=SEED,
            code=code("data.simulate:simulate", "data.simulate:write_simulation"),
        script:
            "../scripts/simulate.py"


rule cells:
    input:
        checks="<results>/inputs/checked.json",
        cells=lambda wildcards: given(config["cells"][wildcards.context]["path"]),
    output:
        "<results>/inputs/cells/{context}.h5ad",
    log:
        "<results>/logs/cells/{context}.log",
    conda:
        "../envs/pertprobe.yaml"
    params:
        given=lambda wildcards: content(config["cells"][wildcards.context]["path"]),
        entry=lambda wildcards: config["cells"][wildcards.context],
        seed=SEED,
        code=code("data.cells:read_cells", "data.cells:context_source"),
    script:
        "../scripts/cells.py"


rule evaluability:
    input:
        cards=every("models/{model}/card.json", model=MODELS),
        seen=every("models/{model}/perturbations.tsv", model=MODELS),
        programs=PROGRAM_FILES,
    output:
        "<results>/inputs/evaluability.tsv",
    log:
        "<results>/logs/evaluability/evaluability.log",
    conda:
        "../envs/pertprobe.yaml"
    params:
        given=content(PROGRAM_FILES),
        models=list(MODELS),
        entries=WHERE,
        probes=list(config["probes"]),
        programs=config["programs"],
        panels=chosen_panels(*config["probes"]),
        code=code("stages.evaluability:evaluability_table", "data.programs:read_programs", "data.programs:read_panels"),
    script:
        "../scripts/evaluability.py"
