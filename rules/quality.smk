# How well each model predicts, on a page of its own.


rule draw_quality:
    input:
        quality="<results>/models/{model}/quality.tsv",
        style=STYLE,
    output:
        figure("quality/{model}", "quality of {model}"),
    log:
        "<results>/logs/draw_quality/{model}.log",
    conda:
        "../envs/pertprobe.yaml"
    params:
        captions=captions,
        given=content(STYLE),
        code=code("report.quality_figure:quality_figure", "stages.quality:read_quality", *DRAWING),
    script:
        "../scripts/draw_quality.py"


rule quality_page:
    input:
        census="<results>/inputs/census.tsv",
        quality=every("models/{model}/quality.tsv", model=MODELS),
        programs=every("models/{model}/program_quality.tsv", model=MODELS),
        distribution=every("models/{model}/distribution.tsv", model=MODELS),
        drift=every("models/{model}/drift.tsv", model=MODELS),
        figures=every("figures/quality/{model}.svg", model=MODELS),
    output:
        "<results>/quality.html",
    log:
        "<results>/logs/quality_page/quality_page.log",
    conda:
        "../envs/pertprobe.yaml"
    params:
        run=config["run"],
        models=WHERE,
        code=code("report.quality_page:write_quality_page", *PAGES),
    script:
        "../scripts/quality_page.py"
