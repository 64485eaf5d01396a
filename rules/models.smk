# Models: trained where the config says so (State's, or of known kind), checked and described, and their responses measured.


rule train:
    input:
        checks="<results>/inputs/checked.json",
        cells=cell_file_of,
        network=network_of,
    output:
        directory("<results>/trained/{model}"),
    log:
        "<results>/logs/train/{model}.log",
    conda:
        "../envs/pertprobe.yaml"
    params:
        given=lambda wildcards: content(cell_file_of(wildcards), network_of(wildcards)),
        entry=lambda wildcards: MODELS[wildcards.model],
        cells=training_source,
        seed=SEED,
        code=lambda wildcards: training_code(wildcards.model),
    script:
        "../scripts/train.py"


# The gate of measurements: the model can be read and passes its checks. It knows of no other model, so that one more
# model in the config measures nothing again.
rule seen:
    input:
        checks="<results>/inputs/checked.json",
        model=model_directory,
        split=split_of,
        cells=cell_file_of,
    output:
        table="<results>/models/{model}/perturbations.tsv",
        names="<results>/models/{model}/names.json",
    log:
        "<results>/logs/seen/{model}.log",
    conda:
        "../envs/pertprobe.yaml"
    params:
        given=lambda wildcards: content_of_models(wildcards.model)
        | content(split_of(wildcards), cell_file_of(wildcards)),
        entry=lambda wildcards: training_source(wildcards) | {"path": source_of(wildcards)["path"]},
        loading=lambda wildcards: loading(wildcards.model),
        code=code(
            "models:load_model",
            "models.cards:perturbation_table",
            "models.cards:model_names",
            "models.cards:own_split",
        ),
    script:
        "../scripts/seen.py"


rule card:
    input:
        checks="<results>/inputs/checked.json",
        models=[directory_of(model) for model in MODELS],
        cells=cells_of,
        split=split_of,
    output:
        "<results>/models/{model}/card.json",
    log:
        "<results>/logs/card/{model}.log",
    conda:
        "../envs/pertprobe.yaml"
    params:
        given=lambda wildcards: content_of_models(*MODELS) | content(split_of(wildcards)),
        entry=lambda wildcards: MODELS[wildcards.model],
        loading={model: loading(model) for model in MODELS},
        code=code("models:load_model", "models.cards:model_card", "models.cards:own_split"),
    script:
        "../scripts/card.py"


rule observe:
    input:
        names="<results>/models/{model}/names.json",
        cells=cell_file_of,
    output:
        "<results>/models/{model}/observed.nc",
    log:
        "<results>/logs/observe/{model}.log",
    conda:
        "../envs/pertprobe.yaml"
    params:
        given=lambda wildcards: content(cell_file_of(wildcards)),
        entry=source_of,
        seed=SEED,
        code=code("data.observed:observe", "stages.measuring:write_measurement"),
    script:
        "../scripts/observe.py"


# What co-variation alone would answer, and models of known kind, fitted once: models that share cells share rivals.
rule rivals:
    input:
        names=every("models/{model}/names.json", model=MODELS),
        cells=list(map(cells_of_model, MODELS)),
        observed=every("models/{model}/observed.nc", model=MODELS),
        files=CELL_FILES,
        contexts=every("inputs/cells/{context}.h5ad", context=config["cells"]),
        network=NETWORK_FILE,
    output:
        answers=every("rivals/{model}.nc", model=MODELS),
        known=every("rivals/{model}.safetensors", model=MODELS),
    log:
        "<results>/logs/rivals/rivals.log",
    conda:
        "../envs/pertprobe.yaml"
    params:
        given=content(CELL_FILES, NETWORK_FILE),
        models={name: entry["context"] for name, entry in MODELS.items()},
        entries=config["cells"],
        kinds=list(KNOWN) if config["controls"]["known"] else [],
        # What is silenced to what, by probes that are tested with rivals.
        silenced={
            probe: {key: config["probes"][probe].get(key) for key in ("genes", "value")}
            for probe in filter(with_rivals, PROBES)
        },
        seed=SEED,
        code=code(
            "stages.rivals:rivals_of_run",
            "stages.measuring:write_measurement",
            "models.known.model:write_known",
            "data.regulons:read_regulons",
        ),
    script:
        "../scripts/rivals.py"


rule quality:
    input:
        measurement="<results>/measurements/delta_y/{model}.nc",
        observed="<results>/models/{model}/observed.nc",
        seen="<results>/models/{model}/perturbations.tsv",
    output:
        "<results>/models/{model}/quality.tsv",
    log:
        "<results>/logs/quality/{model}.log",
    conda:
        "../envs/pertprobe.yaml"
    params:
        code=code("stages.quality:quality_table", "probes.base:averaged"),
    script:
        "../scripts/quality.py"


rule program_quality:
    input:
        quality="<results>/models/{model}/quality.tsv",
        names="<results>/models/{model}/names.json",
        programs=PROGRAM_FILES,
    output:
        "<results>/models/{model}/program_quality.tsv",
    log:
        "<results>/logs/program_quality/{model}.log",
    conda:
        "../envs/pertprobe.yaml"
    params:
        given=content(PROGRAM_FILES),
        programs=PROGRAM_SETTINGS,
        code=code(
            "stages.quality:program_quality",
            "stages.quality:read_quality",
            "data.programs:run_programs",
            "models.cards:known_gene_names",
        ),
    script:
        "../scripts/program_quality.py"


# How far knock-outs take cells from control cells, and control cells of training contexts are from those probed. What a
# knock-out is set to is not asked: zero and mean are placed, an observed level lies between a cell and zero.
rule distribution:
    input:
        model=model_directory,
        seen="<results>/models/{model}/perturbations.tsv",
        split=split_of,
        cells=cells_of,
        contexts=every("inputs/cells/{context}.h5ad", context=config["cells"]),
        file=cell_file_of,
    output:
        knockouts="<results>/models/{model}/distribution.tsv",
        drift="<results>/models/{model}/drift.tsv",
    log:
        "<results>/logs/distribution/{model}.log",
    conda:
        "../envs/pertprobe.yaml"
    params:
        given=lambda wildcards: (
            content_of_models(wildcards.model) | content(cell_file_of(wildcards), split_of(wildcards))
        ),
        entry=source_of,
        loading=lambda wildcards: loading(wildcards.model),
        knockout=({"genes": config["probes"]["knockout"]["genes"]} if "knockout" in config["probes"] else None),
        seed=SEED,
        code=code("stages.distribution:knockout_distances", "stages.distribution:drift_table", "models:load_model"),
    script:
        "../scripts/distribution.py"
