# Is the instrument right? A target of its own, which needs no run: `snakemake calibration`.
SIZES = config["calibration"]
ANSWERS = "results/calibration"


wildcard_constraints:
    part="|".join(parts.names(SIZES)),


rule calibration:
    input:
        f"{ANSWERS}/calibration.html",


# Those that measure time are given every core, so that nothing runs beside them.
rule calibrate:
    output:
        f"{ANSWERS}/parts/{{part}}.tsv",
    log:
        f"{ANSWERS}/logs/calibrate/{{part}}.log",
    conda:
        "../envs/pertprobe.yaml"
    threads: lambda wildcards: workflow.cores if wildcards.part in parts.ALONE else 1
    params:
        sizes=lambda wildcards: parts.sizes_of(wildcards.part, SIZES),
        declared=lambda wildcards: parts.declared_of(wildcards.part),
        seed=SIZES["seed"],
        code=lambda wildcards: calibrating_code(wildcards.part),
    script:
        "../scripts/calibrate.py"


rule gather_calibration:
    input:
        expand(f"{ANSWERS}/parts/{{part}}.tsv", part=parts.names(SIZES)),
    output:
        f"{ANSWERS}/calibration.tsv",
    log:
        f"{ANSWERS}/logs/gather_calibration/gather_calibration.log",
    conda:
        "../envs/pertprobe.yaml"
    params:
        code=lambda wildcards: code("calibration.table:gathered"),
    script:
        "../scripts/gather_calibration.py"


rule calibration_page:
    input:
        calibration=f"{ANSWERS}/calibration.tsv",
        style=STYLE,
    output:
        page=f"{ANSWERS}/calibration.html",
        false_positives=multiext(f"{ANSWERS}/figures/false_positives", *FORMATS),
        power=multiext(f"{ANSWERS}/figures/power", *FORMATS),
        seeds=multiext(f"{ANSWERS}/figures/seeds", *FORMATS),
    log:
        f"{ANSWERS}/logs/calibration_page/calibration_page.log",
    conda:
        "../envs/pertprobe.yaml"
    params:
        given=content(STYLE),
        code=lambda wildcards: code("calibration.page", "calibration.figures", *DRAWING, *PAGES),
    script:
        "../scripts/calibration_page.py"
