# What people look at: the verdict matrix, the report, and where everything came from.


rule draw_verdicts:
    input:
        verdicts="<results>/verdicts.tsv",
        style=STYLE,
    output:
        figure("verdict_matrix"),
    log:
        "<results>/logs/draw_verdicts/draw_verdicts.log",
    conda:
        "../envs/pertprobe.yaml"
    params:
        captions=captions,
        given=content(STYLE),
        models=[*MODELS, *LEFT_OUT],
        levels=config["levels"],
        code=code("report.verdict_matrix:verdict_matrix", "stages.verdict:read_verdicts", *DRAWING),
    script:
        "../scripts/draw_verdicts.py"


rule draw_scorecard:
    input:
        scorecard="<results>/scorecard.tsv",
        answers="<results>/answers.tsv" if ANSWERING else [],
        style=STYLE,
    output:
        figure("scorecard"),
    log:
        "<results>/logs/draw_scorecard/draw_scorecard.log",
    conda:
        "../envs/pertprobe.yaml"
    params:
        captions=captions,
        given=content(STYLE),
        delta=config["answer"]["delta"],
        code=code(
            "report.scorecard_figure:scorecard_figure",
            "stages.scorecard:read_scorecard",
            "stages.answer:read_answers",
            *DRAWING,
        ),
    script:
        "../scripts/draw_scorecard.py"


rule draw_controls:
    input:
        evidence=every("evidence/{probe}.tsv", probe=config["probes"]),
        style=STYLE,
    output:
        controls=figure("controls"),
        cascade=figure("cascade"),
    log:
        "<results>/logs/draw_controls/draw_controls.log",
    conda:
        "../envs/pertprobe.yaml"
    params:
        captions=captions,
        given=content(STYLE),
        models=list(MODELS),
        declared={name: probe.judged_by for name, probe in PROBES.items()},
        code=code("report.controls_figure:controls_figure", "report.controls_figure:cascade_figure", *DRAWING),
    script:
        "../scripts/draw_controls.py"


# `snakemake figures` makes all of them.
rule figures:
    input:
        every(
            "figures/{figure}.svg",
            figure=["scorecard", "verdict_matrix", "controls", "cascade", *config["probes"]],
        ),
        every("figures/quality/{model}.svg", model=MODELS),


# `snakemake spaces`: what was measured, for scanpy. Importing that takes longer than any space: one job for all.
rule spaces:
    input:
        measurements=every("measurements/{probe}/{model}.nc", probe=SPACES, model=MODELS),
        delta_y=every("measurements/delta_y/{model}.nc", model=MODELS),
        names=every("models/{model}/names.json", model=MODELS),
        seen=every("models/{model}/perturbations.tsv", model=MODELS),
        quality=every("models/{model}/quality.tsv", model=MODELS),
        programs=PROGRAM_FILES,
        answers="<results>/answers.tsv" if ANSWERING else [],
        genes=[REPORTED[probe] for probe in ANSWERING if probe in REPORTED],
        features=every("sae/{sae}/features.tsv", sae=[sae for sae in COMPARED_SAE if sae in SAE_OF_SPACES]),
    output:
        every("spaces/{space}/{model}.h5ad", space=[each["name"] for each in SPACES.values()], model=MODELS),
    log:
        "<results>/logs/spaces/spaces.log",
    conda:
        "../envs/pertprobe.yaml"
    resources:
        mem_mb=growing(4000),
    params:
        given=content(PROGRAM_FILES),
        models=WHERE,
        spaces=list(SPACES.values()),
        statistics=[dict(PROBES[probe].answers) for probe in ANSWERING],
        programs={key: PROGRAM_SETTINGS[key] for key in ("patterns", "lists", "names", "spelling")},
        seed=SEED,
        code=code("stages.spaces:write_spaces"),
    script:
        "../scripts/spaces.py"


rule provenance:
    input:
        checks="<results>/checks.json",
        cards=every("models/{model}/card.json", model=MODELS),
        cells=every("inputs/cells/{context}.h5ad", context=config["cells"]),
    output:
        "<results>/provenance.json",
    log:
        "<results>/logs/provenance/provenance.log",
    conda:
        "../envs/pertprobe.yaml"
    params:
        models=list(MODELS),
        contexts=list(config["cells"]),
        seed=SEED,
        code=code("workflow.provenance:provenance"),
    script:
        "../scripts/provenance.py"


# After all that takes time: only the report, which shows it, comes later.
rule run_times:
    input:
        verdicts="<results>/verdicts.tsv",
        readings="<results>/readings.tsv",
        pages="<results>/quality.html",
        figures=rules.figures.input,
    output:
        "<results>/run_times.tsv",
    log:
        "<results>/logs/run_times/run_times.log",
    conda:
        "../envs/pertprobe.yaml"
    params:
        logs=f"{RESULTS}/logs",
        code=code("workflow.provenance:run_times"),
    script:
        "../scripts/run_times.py"


rule report:
    input:
        verdicts="<results>/verdicts.tsv",
        readings="<results>/readings.tsv",
        scorecard="<results>/scorecard.tsv",
        answers="<results>/answers.tsv" if ANSWERING else [],
        evaluability="<results>/inputs/evaluability.tsv",
        evidence=every("evidence/{probe}.tsv", probe=config["probes"]),
        cards=every("models/{model}/card.json", model=MODELS),
        quality=every("models/{model}/quality.tsv", model=MODELS),
        figures=every("figures/{figure}.svg", figure=["scorecard", "verdict_matrix", *config["probes"]]),
        controls="<results>/figures/controls.svg",
        cascade="<results>/figures/cascade.svg",
        sae=every("sae/{sae}/quality.tsv", sae=config["sae"]),
        stability=every("sae/{sae}/stability.tsv", sae=COMPARED_SAE),
        tables=list(REPORTED.values()),
        programs=PROGRAM_FILES,
        provenance="<results>/provenance.json",
        times="<results>/run_times.tsv",
    output:
        report("<results>/report.html", category="Report"),
    log:
        "<results>/logs/report/report.log",
    conda:
        "../envs/pertprobe.yaml"
    params:
        given=content(PROGRAM_FILES),
        run=config["run"],
        pilot=config["pilot"],
        models=WHERE,
        left_out=LEFT_OUT,
        probes=list(config["probes"]),
        questions={name: probe.question for name, probe in PROBES.items()},
        measured={name: probe.measurement for name, probe in PROBES.items()},
        sae=list(config["sae"]),
        reported=list(REPORTED),
        thresholds=config["thresholds"],
        interest=config["power"],
        levels=config["levels"],
        answer=config["answer"],
        statistics=config["statistics"],
        controls=config["controls"],
        programs=PROGRAM_SETTINGS,
        seed=SEED,
        code=code("report:write_report", *PAGES),
    script:
        "../scripts/report.py"
