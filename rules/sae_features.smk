# Are the perturbations of a program alike in the features of a sparse autoencoder?

SAE = config["probes"]["sae_features"]["sae"]
SPACES[f"sae_{config['sae'][SAE]['layer']}"] = "sae_features"
ASKED["sae_features"] = {
    "settings": config["probes"]["sae_features"],
    "layer": config["sae"][SAE]["layer"],
}

CALLED["sae_features"] = ("sae:read_saelens", "sae:read_components")


rule measure_sae_features:
    input:
        model=model_directory,
        seen="<results>/models/{model}/perturbations.tsv",
        cells=cells_of,
        sae=multiext(f"<results>/sae/{SAE}/", "cfg.json", "sae_weights.safetensors"),
        pca=f"<results>/sae/{SAE}/pca.safetensors",
    output:
        temp("<results>/measurements/sae_features/shards/{model}/{shard}-of-{shards}.nc"),
    log:
        "<results>/logs/measure_sae_features/{model}/{shard}-of-{shards}.log",
    benchmark:
        "<results>/benchmarks/measure_sae_features/{model}/{shard}-of-{shards}.tsv"
    conda:
        "../envs/pertprobe.yaml"
    resources:
        gpu=1,
        mem_mb=growing(4000),
        runtime=growing(120),
    params:
        probe="sae_features",
        asked=ASKED["sae_features"],
        copies=COPIES,
        loading=lambda wildcards: loading(wildcards.model),
        code=measuring_code("sae_features"),
    script:
        "../scripts/measure.py"


rule sae_features:
    input:
        "<results>/evidence/sae_features.tsv",
        multiext("<results>/figures/sae_features", ".svg", ".pdf", ".png"),
        every(
            "spaces/sae_{layer}/{model}.h5ad",
            layer=config["sae"][SAE]["layer"],
            model=MODELS,
        ),
