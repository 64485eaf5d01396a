# Further tables and pages of single probes: products that they declare.


rule rank_targeted_jacobian:
    input:
        "<results>/measurements/targeted_jacobian/{model}.nc",
    output:
        "<results>/ranks/{model}.tsv",
    log:
        "<results>/logs/rank_targeted_jacobian/{model}.log",
    conda:
        "../envs/pertprobe.yaml"
    params:
        panels=depended_on(config, "targeted_jacobian")["panels"],
        code=code("probes.panels:ranks"),
    script:
        "../scripts/ranks.py"


# It judges, and so depends on thresholds, as verdicts do.
rule decompose:
    input:
        evidence="<results>/evidence/regime_agreement.tsv",
        perturbations="<results>/tables/regime_agreement/perturbations.tsv",
        programs=PROGRAM_FILES,
    output:
        "<results>/tables/regime_agreement/decomposition.tsv",
    log:
        "<results>/logs/decompose/decompose.log",
    conda:
        "../envs/pertprobe.yaml"
    params:
        given=content(PROGRAM_FILES),
        programs=PROGRAM_SETTINGS,
        conditions=config["thresholds"].get("regime_agreement", []),
        interest=config["power"],
        code=code("stages.decomposition:decomposition", "stages.decomposition:mean_r"),
    script:
        "../scripts/decompose.py"


rule sensitivity_page:
    input:
        measurements=every("measurements/input_sensitivity/{model}.nc", model=MODELS),
        delta_y=every("measurements/delta_y/{model}.nc", model=MODELS),
        figure="<results>/figures/input_sensitivity.svg",
    output:
        "<results>/sensitivity.html",
    log:
        "<results>/logs/sensitivity_page/sensitivity_page.log",
    conda:
        "../envs/pertprobe.yaml"
    params:
        run=config["run"],
        models=WHERE,
        code=code("report.sensitivity_page:write_sensitivity_page", *PAGES),
    script:
        "../scripts/sensitivity_page.py"
