# Every probe, from shards to evidence, tables and figures. What differs is what it declares: src/pertprobe/probes/<name>.yaml.


rule measure:
    input:
        unpack(read_by),
        model=model_directory,
        seen="<results>/models/{model}/perturbations.tsv",
        cells=cells_of,
    output:
        temp("<results>/measurements/{probe}/shards/{model}/{shard}-of-{shards}.nc"),
    log:
        "<results>/logs/measure/{probe}/{model}/{shard}-of-{shards}.log",
    conda:
        "../envs/pertprobe.yaml"
    resources:
        gpu=1,
        mem_mb=growing(4000),
        runtime=growing(120),
    params:
        given_up=given_up("measure/{probe}/{model}/{shard}-of-{shards}", known=UNMEASURED),
        given=content_of_measuring,
        measurement=lambda wildcards: depended_on(config, wildcards.probe),
        declared=lambda wildcards: declared_of_measuring(wildcards.probe),
        copies=lambda wildcards: copies_for(wildcards.probe),
        loading=lambda wildcards: loading(wildcards.model),
        code=lambda wildcards: measuring_code(wildcards.probe),
    script:
        "../scripts/measure.py"


rule gather:
    input:
        shards_of,
    output:
        "<results>/measurements/{probe}/{model}.nc",
    log:
        "<results>/logs/gather/{probe}/{model}.log",
    conda:
        "../envs/pertprobe.yaml"
    params:
        # Shards are temporary, and what is gone cannot be outdated: all that they depend on stands here again.
        given=content_of_measuring,
        measurement=lambda wildcards: depended_on(config, wildcards.probe),
        declared=lambda wildcards: declared_of_measuring(wildcards.probe),
        given_up=shards_given_up,
        copies=lambda wildcards: copies_for(wildcards.probe),
        loading=lambda wildcards: loading(wildcards.model),
        measured=lambda wildcards: measuring_code(wildcards.probe),
        code=code("stages.joining:join_shards", "files:copy"),
    script:
        "../scripts/gather.py"


# The models planted beside each model, and those of known kind: closed forms with its genes, perturbations, programs and
# cells. They are measured in less time than torch takes to load: one job for all models.
rule measure_derived:
    input:
        names=every("models/{model}/names.json", model=MODELS),
        seen=every("models/{model}/perturbations.tsv", model=MODELS),
        observed=every("models/{model}/observed.nc", model=MODELS),
        cells=list(map(cells_of_model, MODELS)),
        contexts=every("inputs/cells/{context}.h5ad", context=config["cells"]),
        programs=PROGRAM_FILES,
        responses=responses_of,
        known=known_of,
    output:
        every("measurements/{{probe}}/derived/{model}.nc", model=MODELS),
    log:
        "<results>/logs/measure_derived/{probe}.log",
    conda:
        "../envs/pertprobe.yaml"
    params:
        given_up=given_up("measure_derived/{probe}", known=UNMEASURED),
        given=content(PROGRAM_FILES),
        measurement=lambda wildcards: depended_on(config, wildcards.probe),
        declared=lambda wildcards: declared_of_measuring(wildcards.probe),
        programs=PROGRAM_SETTINGS,
        # A panel belongs to its Jacobian: in other probes the same programs are planted where they happen to fall.
        panels=lambda wildcards: chosen_panels(wildcards.probe),
        controls=lambda wildcards: planted_for(wildcards.probe),
        seed=SEED,
        code=lambda wildcards: code(
            *functions_of(wildcards.probe, "derive"),
            "stages.measuring_files:derive_files",
            "stages.measuring:write_measurement",
        ),
    script:
        "../scripts/measure_derived.py"


rule test:
    input:
        **tested("model"),
        cells=cells_of,
        programs=PROGRAM_FILES,
        given=files_tested,
    output:
        "<results>/evidence/{probe}/{model}.tsv",
    log:
        "<results>/logs/test/{probe}/{model}.log",
    conda:
        "../envs/pertprobe.yaml"
    params:
        given_up=given_up("test/{probe}/{model}", "compare/{probe}/{model}-vs-{reference}", UNASKED),
        given=lambda wildcards: content(PROGRAM_FILES, files_tested(wildcards)),
        question=question,
        declared=lambda wildcards: declared(wildcards.probe).judged_by,
        code=lambda wildcards: code(*functions_of(wildcards.probe, "ask"), "stages.testing"),
    script:
        "../scripts/test.py"


use rule test as compare with:
    input:
        **tested("model"),
        **{f"reference_{what}": file for what, file in tested("reference").items()},
        cells=cells_of,
        programs=PROGRAM_FILES,
        given=files_tested,
    output:
        "<results>/evidence/{probe}/{model}-vs-{reference}.tsv",
    log:
        "<results>/logs/compare/{probe}/{model}-vs-{reference}.log",


rule gather_evidence:
    input:
        evidence_of,
    output:
        "<results>/evidence/{probe}.tsv",
    log:
        "<results>/logs/gather_evidence/{probe}.log",
    conda:
        "../envs/pertprobe.yaml"
    params:
        declared=lambda wildcards: declared(wildcards.probe).judged_by,
        code=code("evidence:with_q", "evidence:read", "evidence:write"),
    script:
        "../scripts/gather_evidence.py"


rule draw:
    input:
        evidence="<results>/evidence/{probe}.tsv",
        measurements=lambda wildcards: measurements_of(wildcards.probe),
        programs=PROGRAM_FILES,
        tables=lambda wildcards: tables_of(wildcards.probe, PROBES[wildcards.probe].drawn_tables),
        style=STYLE,
    output:
        figure("{probe}"),
    log:
        "<results>/logs/draw/{probe}.log",
    conda:
        "../envs/pertprobe.yaml"
    params:
        captions=captions,
        given=content(PROGRAM_FILES, STYLE),
        given_up=given_up("draw/{probe}"),
        models=list(MODELS),
        tables=lambda wildcards: PROBES[wildcards.probe].drawn_tables,
        question=question,
        thresholds=lambda wildcards: config["thresholds"].get(wildcards.probe, []),
        ranges=lambda wildcards: PROBES[wildcards.probe].ranges,
        code=lambda wildcards: code(*functions_of(wildcards.probe, "draw"), "stages.drawing", *DRAWING),
    script:
        "../scripts/draw.py"


for each in [probe for probe in PROBES if PROBES[probe].tables["names"]]:

    rule:
        name:
            f"tabulate_{each}"
        input:
            measurements=measurements_of(each),
            delta_y=every("measurements/delta_y/{model}.nc", model=MODELS),
            seen=every("models/{model}/perturbations.tsv", model=MODELS),
            programs=PROGRAM_FILES,
            observed=every("models/{model}/observed.nc", model=MODELS) if with_rivals(each) else [],
            rivals=every("rivals/{model}.nc", model=MODELS) if with_rivals(each) else [],
            features=stability_of(each),
        output:
            tables_of(each),
        log:
            f"<results>/logs/tabulate_{each}/tabulate_{each}.log",
        conda:
            "../envs/pertprobe.yaml"
        params:
            given_up=given_up(f"tabulate_{each}/tabulate_{each}"),
            given=content(PROGRAM_FILES),
            probe=each,
            models=list(MODELS),
            pairs=[pair[1:] for pair in comparing(each)] if PROBES[each].tables["pairs"] else [],
            columns=PROBES[each].tables["names"],
            question=tabled(each),
            code=code(*functions_of(each, "tabulate"), "stages.tables"),
        script:
            "../scripts/tabulate.py"


# `snakemake <probe>` makes all that belongs to one.
for each in PROBES:

    rule:
        name:
            each
        input:
            f"<results>/evidence/{each}.tsv",
            multiext(f"<results>/figures/{each}", *FORMATS),
            products_of(each),
