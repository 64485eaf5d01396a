# Evidence and thresholds -> verdicts and readings. Thresholds reach these rules and no others.


rule verdicts:
    input:
        evidence=every("evidence/{probe}.tsv", probe=config["probes"]),
        truth="<results>/simulated/truth.tsv" if "simulate" in config else [],
    output:
        report("<results>/verdicts.tsv", category="Tables"),
    log:
        "<results>/logs/verdicts/verdicts.log",
    conda:
        "../envs/pertprobe.yaml"
    params:
        thresholds=config["thresholds"],
        interest=config["power"],
        declared={name: probe.judged_by for name, probe in PROBES.items()},
        left_out=LEFT_OUT,
        code=code("stages.verdict:verdicts", "stages.verdict:planted_truth", "stages.left_out:with_left_out"),
    script:
        "../scripts/verdicts.py"


# Of the probe that answers the run's question; without one no model has an answer.
if ANSWERING:

    rule answers:
        input:
            every("evidence/{probe}.tsv", probe=ANSWERING),
        output:
            report("<results>/answers.tsv", category="Tables"),
        log:
            "<results>/logs/answers/answers.log",
        conda:
            "../envs/pertprobe.yaml"
        params:
            limits=config["answer"],
            statistics=[dict(PROBES[probe].answers) for probe in ANSWERING],
            code=code("stages.answer:answers"),
        script:
            "../scripts/answers.py"


rule readings:
    input:
        verdicts="<results>/verdicts.tsv",
        answers="<results>/answers.tsv" if ANSWERING else [],
    output:
        report("<results>/readings.tsv", category="Tables"),
    log:
        "<results>/logs/readings/readings.log",
    conda:
        "../envs/pertprobe.yaml"
    params:
        levels=config["levels"],
        pairs=config["pairs"],
        words=config["reading_words"],
        code=code("stages.verdict:readings", "stages.verdict:read_verdicts", "stages.answer:read_answers"),
    script:
        "../scripts/readings.py"


rule scorecard:
    input:
        evidence=every("evidence/{probe}.tsv", probe=config["probes"]),
        answers="<results>/answers.tsv" if ANSWERING else [],
    output:
        report("<results>/scorecard.tsv", category="Tables"),
    log:
        "<results>/logs/scorecard/scorecard.log",
    conda:
        "../envs/pertprobe.yaml"
    params:
        probes=list(config["probes"]),
        levels=config["levels"],
        primary={name: probe.primary for name, probe in PROBES.items()},
        answering={probe: dict(PROBES[probe].answers) for probe in ANSWERING},
        seed=SEED,
        code=code("stages.scorecard:scorecard", "stages.answer:read_answers"),
    script:
        "../scripts/scorecard.py"
