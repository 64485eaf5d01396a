# What all probes share, from shards to evidence and figures. What differs is in rules/<probe>.smk.


rule gather:
    input:
        shards_of,
    output:
        "<results>/measurements/{probe}/{model}.nc",
    log:
        "<results>/logs/gather/{probe}/{model}.log",
    benchmark:
        "<results>/benchmarks/gather/{probe}/{model}.tsv"
    conda:
        "../envs/pertprobe.yaml"
    params:
        # Shards are temporary, and what is gone cannot be outdated: all that they depend on stands here again.
        asked=lambda wildcards: ASKED[wildcards.probe],
        copies=lambda wildcards: copies_for(wildcards.probe),
        loading=lambda wildcards: loading(wildcards.model),
        measured=lambda wildcards: measuring_code(wildcards.probe),
        code=code("joining:join_shards", "files:copy"),
    script:
        "../scripts/gather.py"


# The models planted beside each model: closed forms with its genes, perturbations, programs and cells. They are
# measured in less time than torch takes to load: one job for all models.
rule measure_derived:
    input:
        names=every("models/{model}/names.json", model=MODELS),
        seen=every("models/{model}/perturbations.tsv", model=MODELS),
        observed=every("models/{model}/observed.nc", model=MODELS),
        cells=list(map(cells_of_model, MODELS)),
        contexts=every("inputs/cells/{context}.h5ad", context=config["cells"]),
        programs=program_files(),
        responses=responses_of,
    output:
        every("measurements/{{probe}}/derived/{model}.nc", model=MODELS),
    log:
        "<results>/logs/measure_derived/{probe}.log",
    benchmark:
        "<results>/benchmarks/measure_derived/{probe}.tsv"
    conda:
        "../envs/pertprobe.yaml"
    params:
        asked=lambda wildcards: ASKED[wildcards.probe],
        programs=program_settings(),
        # A panel belongs to its Jacobian: in other probes the same programs are planted where they happen to fall.
        panels=panels_of,
        controls={key: config["controls"][key] for key in ("planted", "additive")},
        seed=SEED,
        code=lambda wildcards: code(
            f"probes.{wildcards.probe}:measure",
            f"probes.{wildcards.probe}:units",
            *CALLED.get(wildcards.probe, ()),
            "measuring:measure_derived",
            "measuring:write_measurement",
            "measuring:asked_of",
            "derived:derived_models",
        ),
    script:
        "../scripts/measure_derived.py"


rule export_space:
    input:
        lambda wildcards: every(f"measurements/{SPACES[wildcards.space]}/{wildcards.model}.nc"),
    output:
        "<results>/spaces/{space}/{model}.h5ad",
    log:
        "<results>/logs/export_space/{space}/{model}.log",
    benchmark:
        "<results>/benchmarks/export_space/{space}/{model}.tsv"
    conda:
        "../envs/pertprobe.yaml"
    params:
        probe=lambda wildcards: SPACES[wildcards.space],
        code=code("measuring:write_space"),
    script:
        "../scripts/export_space.py"


rule test:
    input:
        measurement=measurement_of("model"),
        delta_y="<results>/measurements/delta_y/{model}.nc",
        seen="<results>/models/{model}/perturbations.tsv",
        card="<results>/models/{model}/card.json",
        observed="<results>/models/{model}/observed.nc",
        quality="<results>/models/{model}/program_quality.tsv",
        derived=derived_of("model"),
        cells=cells_of,
        programs=program_files(),
        given=lambda wildcards: GIVEN.get(wildcards.probe, []),
    output:
        "<results>/evidence/{probe}/{model}.tsv",
    log:
        "<results>/logs/test/{probe}/{model}.log",
    benchmark:
        "<results>/benchmarks/test/{probe}/{model}.tsv"
    conda:
        "../envs/pertprobe.yaml"
    params:
        question=question,
        code=lambda wildcards: code(
            *(f"probes.{wildcards.probe}:{name}" for name in ("test", "controlled", "references")),
            *declared(wildcards.probe),
            "testing",
        ),
    script:
        "../scripts/test.py"


use rule test as compare with:
    input:
        measurement=measurement_of("model"),
        delta_y="<results>/measurements/delta_y/{model}.nc",
        seen="<results>/models/{model}/perturbations.tsv",
        card="<results>/models/{model}/card.json",
        observed="<results>/models/{model}/observed.nc",
        quality="<results>/models/{model}/program_quality.tsv",
        derived=derived_of("model"),
        cells=cells_of,
        programs=program_files(),
        given=lambda wildcards: GIVEN.get(wildcards.probe, []),
        reference_measurement=measurement_of("reference"),
        reference_delta_y="<results>/measurements/delta_y/{reference}.nc",
        reference_seen="<results>/models/{reference}/perturbations.tsv",
        reference_card="<results>/models/{reference}/card.json",
        reference_observed="<results>/models/{reference}/observed.nc",
        reference_quality="<results>/models/{reference}/program_quality.tsv",
        reference_derived=derived_of("reference"),
    output:
        "<results>/evidence/{probe}/{model}-vs-{reference}.tsv",
    log:
        "<results>/logs/compare/{probe}/{model}-vs-{reference}.log",
    benchmark:
        "<results>/benchmarks/compare/{probe}/{model}-vs-{reference}.tsv"


rule gather_evidence:
    input:
        evidence_of,
    output:
        "<results>/evidence/{probe}.tsv",
    log:
        "<results>/logs/gather_evidence/{probe}.log",
    benchmark:
        "<results>/benchmarks/gather_evidence/{probe}.tsv"
    conda:
        "../envs/pertprobe.yaml"
    params:
        code=lambda wildcards: code(
            *declared(wildcards.probe),
            "evidence:with_q",
            "evidence:read",
            "evidence:write",
        ),
    script:
        "../scripts/gather_evidence.py"


rule draw:
    input:
        evidence="<results>/evidence/{probe}.tsv",
        measurements=lambda wildcards: every(f"measurements/{measured_by(wildcards.probe)}/{{model}}.nc", model=MODELS),
        programs=program_files(),
        tables=lambda wildcards: tables_of(wildcards.probe),
    output:
        multiext("<results>/figures/{probe}", ".svg", ".pdf", ".png"),
    log:
        "<results>/logs/draw/{probe}.log",
    benchmark:
        "<results>/benchmarks/draw/{probe}.tsv"
    conda:
        "../envs/pertprobe.yaml"
    params:
        models=list(MODELS),
        tables=lambda wildcards: sorted(TABLES.get(wildcards.probe, {})),
        question=question,
        code=lambda wildcards: code(f"probes.{wildcards.probe}:draw", "figures"),
    script:
        "../scripts/draw.py"
