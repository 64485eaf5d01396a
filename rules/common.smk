# The only .smk with Python: reads the config and answers what rules ask of it. Nothing heavy is imported here.
import os
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.utils import validate

from pertprobe.checks import check_inputs, check_references, control_faults, given_paths
from pertprobe.config import expanded, schema_faults
from pertprobe.digest import code
from pertprobe.errors import Faults, PertprobeError
from pertprobe.messages import raise_together

SCHEMA = Path(workflow.current_basedir) / "../config/schema.yaml"


def checked_config():
    """Fill in defaults and paths; stop with every fault of the config at once."""
    faults = config_faults()
    if faults:
        raise WorkflowError(str(Faults(faults)))
    validate(config, str(SCHEMA))
    try:
        raise_together(list(control_faults(config)))
        settled = expanded(config, f"results/{config['run']}")
        for entry in settled["sae"].values():
            entry |= {"seeds": 1} if "path" in entry else {}  # trained elsewhere: from whatever seed
        if not all(map(os.path.exists, given_paths(settled))):
            check_inputs(settled)  # the run cannot start: read what there is, and name every fault together
    except PertprobeError as error:
        raise WorkflowError(str(error))
    return settled


def config_faults():
    """Return what breaks the schema, and the names that nothing in the config has."""
    faults = schema_faults(config, SCHEMA)
    keys = {fault.partition(":")[0] for fault in faults}
    try:
        unknown = check_references(config)
    except (AttributeError, KeyError, TypeError):
        return faults  # of a shape that names cannot be looked up in: the schema's faults say where
    return faults + [each for each in unknown if each.partition(":")[0] not in keys]


config.update(checked_config())

RESULTS = f"results/{config['run']}"
MODELS = config["models"]
SHARDS = config["shards"]
PAIRS = [(kind, *pair) for kind, pairs in config["pairs"].items() for pair in pairs]
SEED = config["seed"]
# Each probe's rules add theirs:
SPACES = {}  # space -> the probe whose measurement holds it
ASKED = {}  # probe -> what its measurement depends on beside files
CALLED = {}  # probe -> code that its measurement calls on what it is given
GIVEN = {}  # probe -> further files of the config that its test reads
PRODUCTS = []  # further tables that belong to a run
COMPARES = {}  # probe -> the kinds of pairs that it has a question about, where these are not all
MEASURED_BY = {}  # probe -> the one whose measurement it tests, where it makes none of its own
BESIDE = {}  # probe -> function of wildcards: what its test knows of the config beside its own section
TABLES = {}  # probe -> name -> further table, which its figure is given
BY_RESPONSE = set()  # probes that choose perturbations by the model's delta_y
REPORTED = {}  # probe -> the table that the report shows with its figure
COPIES = {
    "redrawn": config["controls"]["redrawn"],
    "cascade": config["controls"]["cascade"],
    "seed": SEED,
}
MEASURING = (
    "measuring:measure_shard",
    "measuring:write_measurement",
    "measuring:cells_for",
    "measuring:asked_of",
    "models:load_model",
)


wildcard_constraints:
    model="|".join(MODELS),
    reference="|".join(MODELS),
    context="|".join(config["cells"]),
    sae="|".join(config["sae"]) or "none",
    probe="|".join([*config["probes"], "delta_y"]),
    space="[a-z0-9_]+",
    shard=r"\d+",
    shards=r"\d+",


def growing(amount):
    """Return a resource that grows with each attempt, since what was too little once is too little again."""
    return lambda wildcards, attempt: amount * attempt


def model_directory(wildcards):
    """Return the directory of a model, given or trained by this run."""
    return directory_of(wildcards.model)


def directory_of(model):
    return MODELS[model].get("path", f"{RESULTS}/trained/{model}")


def all_directories(wildcards):
    return [directory_of(model) for model in MODELS]


def split_of(wildcards):
    """Return the file that says what a given model was trained with; one trained here carries its own."""
    return MODELS[wildcards.model].get("split", [])


def loading(model):
    """Return how a model is loaded."""
    entry = MODELS[model]
    attention = None if entry["attention"] == "flag" else entry["attention"]
    return {"kind": entry["kind"], "attention": attention, "dtype": entry["dtype"],
            "checkpoint": entry.get("checkpoint"), "tf32": entry["tf32"]}  # fmt: skip


def source_of(wildcards):
    """Return the cells entry of the model's context."""
    return config["cells"][MODELS[wildcards.model]["context"]]


def cell_file_of(wildcards):
    """Return the h5ad that the model's context lies in."""
    return source_of(wildcards)["path"]


def training_source(wildcards):
    """Return what training needs to know of the cells, and nothing that only probing depends on."""
    entry = source_of(wildcards)
    sources = (
        "context",
        "context_column",
        "perturbation_column",
        "batch_column",
        "control",
        "space",
        "set_size",
    )
    return {key: entry[key] for key in sources}


def cells_of(wildcards):
    """Return the cell sets of the model's context."""
    return cells_of_model(wildcards.model)


def cells_of_model(model):
    return f"{RESULTS}/inputs/cells/{MODELS[model]['context']}.h5ad"


def pooled(wildcards):
    """Return the models a sparse autoencoder is trained on."""
    return config["sae"][wildcards.sae]["models"]


def every(pattern, **wildcards):
    """Return a pattern below the results of this run for each combination of wildcards."""
    return expand(f"{RESULTS}/{pattern}", **wildcards)


def shards_of(wildcards):
    """Return the shards of a probe's measurement on one model."""
    folder = f"measurements/{wildcards.probe}/shards/{wildcards.model}"
    return every(f"{folder}/{{shard}}-of-{SHARDS}.nc", shard=range(SHARDS))


def measuring_code(probe):
    """Return the digest of all code that a probe's measurement depends on."""
    parts = ("measure", "units", "KEEP")
    return code(*(f"probes.{probe}:{part}" for part in parts), *CALLED.get(probe, ()), *MEASURING)


def declared(*probes):
    """Return the names of what probes declare, which no function of theirs need use, but tests and verdicts do."""
    names = ("STATISTICS", "CONTROLLED", "CORRELATIONS", "FIRST_ORDER", "LEVEL", "UNIT")
    return [f"probes.{probe}:{name}" for probe in probes for name in names]


def derived_of(which):
    """Return the function of the models planted beside a model or its reference; of none where none are wanted."""

    def derived(wildcards):
        model = wildcards.get(which)
        wanted = model and config["controls"]["planted"]
        return f"{RESULTS}/measurements/{measured_by(wildcards.probe)}/derived/{model}.nc" if wanted else []

    return derived


def measured_by(probe):
    """Return the probe whose measurement a probe tests."""
    return MEASURED_BY.get(probe, probe)


def measurement_of(which):
    """Return the function of the measurement of a model or its reference that a probe tests."""
    return lambda wildcards: f"{RESULTS}/measurements/{measured_by(wildcards.probe)}/{wildcards[which]}.nc"


def responses_of(wildcards):
    """Return the delta_y of all models for a probe that chooses perturbations by it; of any other probe nothing."""
    return every("measurements/delta_y/{model}.nc", model=MODELS) if wildcards.probe in BY_RESPONSE else []


def copies_for(probe):
    """Return which untrained copies are measured beside a model; none in a space that no probe tests."""
    return COPIES if probe in config["probes"] or probe in MEASURED_BY.values() else {}


def tables_of(probe):
    """Return the paths of a probe's further tables, in order of their names."""
    return [TABLES[probe][name] for name in sorted(TABLES.get(probe, {}))]


def tables_named(probe, *names):
    """Enter further tables of a probe, which belong to the run; return their paths in order of their names."""
    TABLES[probe] = {name: f"{RESULTS}/tables/{probe}/{name}.tsv" for name in names}
    PRODUCTS.extend(tables_of(probe))
    return tables_of(probe)


def evidence_of(wildcards):
    """Return the evidence files of a probe: one per model, one per pair that it has a question about."""
    kinds = COMPARES.get(wildcards.probe, config["pairs"])
    names = [*MODELS, *(f"{model}-vs-{reference}" for kind, model, reference in PAIRS if kind in kinds)]
    return every(f"evidence/{wildcards.probe}/{{name}}.tsv", name=names)


def program_files():
    return config["programs"]["gmt"]


def program_settings():
    """Return all that the config says of programs but their files, which are inputs."""
    return {key: value for key, value in config["programs"].items() if key != "gmt"}


def contexts_and_regimes():
    """Return where each model is read, and how it was trained."""
    return {name: {key: entry[key] for key in ("context", "regime")} for name, entry in MODELS.items()}


def question(wildcards):
    """Return what a test needs to know of the config; nothing that only other probes depend on."""
    return {
        "settings": config["probes"][wildcards.probe] | BESIDE.get(wildcards.probe, lambda _: {})(wildcards),
        "programs": program_settings(),
        "panels": panels_of(wildcards),
        "statistics": config["statistics"],
        "models": contexts_and_regimes(),
        "comparison": comparison_of(wildcards),
        "seed": SEED,
    }


def tabled(probe):
    """Return what a probe's further tables depend on in the config."""
    return {"settings": config["probes"][probe], "programs": program_settings(), "seed": SEED}


def panels_of(wildcards):
    """Return the panels that a probe asks about, or whose models are planted for it."""
    return chosen_panels(wildcards.probe)


def partners_of(kind, wildcards):
    """Return the models that one is compared with in one way, contexts or regimes."""
    model = wildcards.get("model")
    return [name for pair in config["pairs"][kind] if model in pair for name in pair if name != model]


def comparison_of(wildcards):
    """Return what a pair compares, contexts or regimes; empty for one model."""
    pair = wildcards.get("model"), wildcards.get("reference")
    return next((kind for kind, *listed in PAIRS if tuple(listed) == pair), "")


def chosen_panels(*probes):
    """Return the panels that any of these probes asks about."""
    wanted = [config["probes"].get(probe, {}).get("panels", []) for probe in probes]
    return {
        name: panel for name, panel in config["panels"].items() if any(each == "all" or name in each for each in wanted)
    }


def panel_genes(probe):
    """Return only what a measurement depends on, so that a change of perturbations measures nothing again."""
    return {
        name: {"regulators": panel["regulators"], "targets": panel["targets"]}
        for name, panel in chosen_panels(probe).items()
    }
