# What does the output answer to, and do derivatives of this model mean anything? With a page of its own.

COMPARES["input_sensitivity"] = ()
ASKED["input_sensitivity"] = {
    "settings": config["probes"]["input_sensitivity"],
    "seed": SEED,
}
PRODUCTS.append(f"{RESULTS}/sensitivity.html")


rule measure_input_sensitivity:
    input:
        model=model_directory,
        seen="<results>/models/{model}/perturbations.tsv",
        cells=cells_of,
    output:
        temp("<results>/measurements/input_sensitivity/shards/{model}/{shard}-of-{shards}.nc"),
    log:
        "<results>/logs/measure_input_sensitivity/{model}/{shard}-of-{shards}.log",
    benchmark:
        "<results>/benchmarks/measure_input_sensitivity/{model}/{shard}-of-{shards}.tsv"
    conda:
        "../envs/pertprobe.yaml"
    resources:
        gpu=1,
        mem_mb=growing(4000),
        runtime=growing(120),
    params:
        probe="input_sensitivity",
        asked=ASKED["input_sensitivity"],
        copies=COPIES,
        loading=lambda wildcards: loading(wildcards.model),
        code=measuring_code("input_sensitivity"),
    script:
        "../scripts/measure.py"


rule sensitivity_page:
    input:
        measurements=every("measurements/input_sensitivity/{model}.nc", model=MODELS),
        delta_y=every("measurements/delta_y/{model}.nc", model=MODELS),
        figure="<results>/figures/input_sensitivity.svg",
    output:
        "<results>/sensitivity.html",
    log:
        "<results>/logs/sensitivity_page/sensitivity_page.log",
    benchmark:
        "<results>/benchmarks/sensitivity_page/sensitivity_page.tsv"
    conda:
        "../envs/pertprobe.yaml"
    params:
        run=config["run"],
        models=contexts_and_regimes(),
        code=code(
            "report.sensitivity_page:write_sensitivity_page",
            "report/sensitivity.html.j2",
            "report/style.css",
        ),
    script:
        "../scripts/sensitivity_page.py"


rule input_sensitivity:
    input:
        "<results>/sensitivity.html",
        "<results>/evidence/input_sensitivity.tsv",
        multiext("<results>/figures/input_sensitivity", ".svg", ".pdf", ".png"),
