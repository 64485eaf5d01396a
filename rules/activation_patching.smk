# Does one direction of a layer carry the response to a program's perturbations, and to no others?

COMPARES["activation_patching"] = ()
PATCHED = config["probes"]["activation_patching"]
PATCHED_SAE = config["sae"].get(PATCHED.get("sae"))
ASKED["activation_patching"] = {
    "settings": {key: PATCHED[key] for key in ("random", "features") if key in PATCHED},
    "layer": PATCHED_SAE["layer"] if PATCHED_SAE else PATCHED.get("layer", "middle"),
    "panels": {name: {key: panel[key] for key in ("program", "targets")} for name, panel in config["panels"].items()},
    "programs": {key: config["programs"][key] for key in ("patterns", "lists")},
    "seed": SEED,
}
CALLED["activation_patching"] = ("probes.activation_patching:plant", "sae:read_saelens")


rule measure_activation_patching:
    input:
        model=model_directory,
        seen="<results>/models/{model}/perturbations.tsv",
        cells=cells_of,
        programs=program_files(),
        sae=(multiext(f"<results>/sae/{PATCHED['sae']}/", "cfg.json", "sae_weights.safetensors") if PATCHED_SAE else []),
    output:
        temp("<results>/measurements/activation_patching/shards/{model}/{shard}-of-{shards}.nc"),
    log:
        "<results>/logs/measure_activation_patching/{model}/{shard}-of-{shards}.log",
    benchmark:
        "<results>/benchmarks/measure_activation_patching/{model}/{shard}-of-{shards}.tsv"
    conda:
        "../envs/pertprobe.yaml"
    resources:
        gpu=1,
        mem_mb=growing(4000),
        runtime=growing(120),
    params:
        probe="activation_patching",
        asked=ASKED["activation_patching"],
        copies=COPIES,
        loading=lambda wildcards: loading(wildcards.model),
        code=measuring_code("activation_patching"),
    script:
        "../scripts/measure.py"


rule activation_patching:
    input:
        "<results>/evidence/activation_patching.tsv",
        multiext("<results>/figures/activation_patching", ".svg", ".pdf", ".png"),
