# The only .smk with Python: reads the config and answers what rules ask of it. Nothing heavy is imported here.
from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

from pertprobe.calibration import parts
from pertprobe.errors import PertprobeError
from pertprobe.files import TextOf
from pertprobe.identity import KnownFiles
from pertprobe.probes.declaration import FUNCTIONS, SPACE_OF_RESPONSES, all_declared, declared
from pertprobe.roles import KNOWN, NETWORK
from pertprobe.workflow.config import whole_schema
from pertprobe.workflow.damaged_results import make_again
from pertprobe.workflow.digest import code, files_below, functions
from pertprobe.workflow.given_inputs import GivenInputs
from pertprobe.workflow.left_out import models_left_out
from pertprobe.workflow.parsed import parsed
from pertprobe.workflow.settled import asked_panels, depended_on, layer_of
from pertprobe.workflow.started_here import ready_this_machine
from pertprobe.workflow.unaskable import unaskable, unmeasured

SCHEMA = whole_schema(workflow.source_path("../config/schema.yaml"))


try:
    config.update(parsed(config, SCHEMA, workflow.configfiles))
except PertprobeError as error:
    raise WorkflowError(str(error))

# What a given file holds is a param of what reads it, and its date is nothing. It is looked up once: jobs take its word.
FILES = KnownFiles(say=logger.warning)
GIVEN = GivenInputs(config, FILES.sha256 if workflow.is_main_process else FILES.remembered, ancient)
given, content, content_of_models = GIVEN.inputs, GIVEN.content, GIVEN.content_of_models
# What labels mean goes wherever they are read, with what its files hold.
config["programs"]["agents"]["given"] = GIVEN.content_of_agents

RESULTS = f"results/{config['run']}"
MODELS = config["models"]
SHARDS = config["shards"]
# What a figure is written as: the caption is made from what is drawn.
FORMATS = (".svg", ".pdf", ".png", ".caption.txt")
# The user's own style sheet: an input of all that draws, so that a change of it draws again and measures nothing.
STYLE = given(config["style"] or [])
PAIRS = [(kind, *pair) for kind, pairs in config["pairs"].items() for pair in pairs]
SEED = config["seed"]
PROBES = all_declared(config["probes"])
COPIES = {"redrawn": config["controls"]["redrawn"], "cascade": config["controls"]["cascade"], "seed": SEED}
PROGRAM_FILES = given(config["programs"]["gmt"])
NETWORK_FILE = given(config["controls"].get("network", []))
CELL_FILES = given(sorted({entry["path"] for entry in config["cells"].values()}))
# All that the config says of programs but their files, which are inputs.
PROGRAM_SETTINGS = {key: value for key, value in config["programs"].items() if key != "gmt"}
# Where each model is read, and how it was trained.
WHERE = {name: {key: entry[key] for key in ("context", "regime")} for name, entry in MODELS.items()}
# Models that a job failed for on which all others of them depend -> why: the run goes on without them.
LEFT_OUT = models_left_out(config)
# What a pair compares: contexts or regimes.
COMPARISONS = {(model, reference): kind for kind, model, reference in PAIRS}
# Measurements of which anything is asked of copies and planted models.
OF_CONTROLS = {each.measurement for each in PROBES.values() if each.control_statistics}
# Probe -> the table that the report shows with its figure.
REPORTED = {
    probe: f"{RESULTS}/tables/{probe}/{each.tables['reported']}.tsv"
    for probe, each in PROBES.items()
    if "reported" in each.tables
}
# Probes, and measurements, that this config leaves nothing to ask -> why.
UNASKED, UNMEASURED = unaskable(config), unmeasured(config)
# The library that writes figures, with the style that they have.
DRAWING = ("plots", "plots/paper.mplstyle")
# What all pages are made of beside Python: templates, words, styles, scripts.
PAGES = files_below("report")
MEASURING = ("stages.measuring_files:measure_files", "stages.measuring:write_measurement")


wildcard_constraints:
    model="|".join(MODELS),
    reference="|".join(MODELS),
    context="|".join(config["cells"]),
    sae="|".join(config["sae"]) or "none",
    probe="|".join([*PROBES, SPACE_OF_RESPONSES]),
    shard=r"\d+",
    shards=r"\d+",


def calibrating_code(part):
    """Return the digest of all code that a part of the calibration runs, its probes' too, readers of given files left out."""
    called = [target for module, names in parts.called(part) for target in functions(module, *names)]
    return code(parts.target(part), *dict.fromkeys(called), "calibration.table:write", apart=parts.READERS)


def figure(name, shown=""):
    """Return what a figure is written as, its SVG for Snakemake's own report too: there as `shown`, beneath its caption."""
    svg, *others = multiext(f"{RESULTS}/figures/{name}", *FORMATS)
    return [report(svg, caption="../report/figure.rst", category="Figures", labels={"figure": shown or name}), *others]


def captions(wildcards, output):
    """Return the captions of a rule's figures as Snakemake's own report shows them, read when it is made."""
    return [TextOf(path) for path in output if path.endswith(FORMATS[-1])]


def given_up(job, of_a_pair="", known=None):
    """Return a param: why a job, named as its log is, is not tried again in this run; empty for all others.

    `known`: probe or measurement -> why it is not tried at all.
    """
    named = lambda wildcards: of_a_pair if wildcards.get("reference") else job
    beforehand = lambda wildcards: (known or {}).get(wildcards.get("probe"))
    return lambda wildcards: beforehand(wildcards) or config["given_up"].get(named(wildcards).format(**wildcards), "")


def shards_given_up(wildcards):
    """Return why shards of a measurement are not tried, or not tried again in this run."""
    of_these = f"measure/{wildcards.probe}/{wildcards.model}/"
    beforehand = [UNMEASURED[wildcards.probe]] if wildcards.probe in UNMEASURED else []
    return beforehand + [why for job, why in config["given_up"].items() if job.startswith(of_these)]


def growing(amount):
    """Return a resource that grows with each attempt, since what was too little once is too little again."""
    return lambda wildcards, attempt: amount * attempt


def model_directory(wildcards):
    """Return the directory of a model, given or trained by this run."""
    return directory_of(wildcards.model)


def directory_of(model):
    return given(MODELS[model].get("path", f"{RESULTS}/trained/{model}"))


def split_of(wildcards):
    """Return the file that says what a given model was trained with; one trained here carries its own."""
    return given(MODELS[wildcards.model].get("split", []))


def loading(model):
    """Return how a model is loaded."""
    entry, keys = MODELS[model], ("kind", "dtype", "checkpoint", "tf32", "genes", "control", "ignore_options")
    attention = {} if entry["attention"] == "flag" else {"attention": entry["attention"]}
    return {key: entry[key] for key in keys if entry.get(key)} | attention | {"agents": config["programs"]["agents"]}


def source_of(wildcards):
    """Return the cells entry of the model's context."""
    return config["cells"][MODELS[wildcards.model]["context"]]


def cell_file_of(wildcards):
    """Return the h5ad that the model's context lies in."""
    return given(source_of(wildcards)["path"])


def training_source(wildcards):
    """Return what training needs to know of the cells, and nothing that only probing depends on."""
    entry = source_of(wildcards)
    wanted = ("context", "context_column", "perturbation_column", "batch_column", "control", "space", "set_size")
    return {key: entry[key] for key in wanted}


def network_of(wildcards):
    """Return the network that a model is trained on, where its kind has one."""
    return NETWORK_FILE if MODELS[wildcards.model]["kind"] == NETWORK else []


def training_code(model):
    """Return the digest of the code that trains a model."""
    known = MODELS[model]["kind"] in KNOWN
    return code("models.known.training:train_known" if known else "models.state.train:train")


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
    readers = {"sae": "interpret.sae:read_saelens", "pca": "interpret.sae:read_components"}
    read = [readers[what] for what in declared(probe).reads if what in readers]
    return code(*functions_of(probe, "measure"), *read, *MEASURING)


def functions_of(probe, stage):
    """Return the functions of a probe that a stage of the workflow calls, as targets of `code`."""
    needed, optional = FUNCTIONS[stage]
    return functions(f"probes.{probe}", *needed, *optional)


def declared_of_measuring(probe):
    """Return what of a declaration a measurement depends on."""
    declaration = declared(probe)
    return {"needs": sorted(declaration.needs), "keep": declaration.keep, "reads": declaration.reads}


def read_by(wildcards):
    """Return what a measurement reads beside the model, its cells and what it has seen."""
    sae = config["probes"].get(wildcards.probe, {}).get("sae")
    folder = f"{RESULTS}/sae/{sae}"
    files = {
        "contexts": every("inputs/cells/{context}.h5ad", context=config["cells"]),
        "observed": f"{RESULTS}/models/{wildcards.model}/observed.nc",
        "programs": PROGRAM_FILES,
        "responses": f"{RESULTS}/measurements/delta_y/{wildcards.model}.nc",
        "sae": [f"{folder}/cfg.json", f"{folder}/sae_weights.safetensors"] if sae else [],
        "pca": f"{folder}/pca.safetensors" if sae else [],
    }
    settings = config["probes"].get(wildcards.probe, {})
    return {what: files[what] for what in declared(wildcards.probe).reads_under(settings)}


def content_of_measuring(wildcards):
    """Return a param: what the given files hold that a measurement is made from."""
    return content_of_models(wildcards.model) | content(read_by(wildcards).get("programs", []))


def content_of_pool(wildcards):
    """Return a param: what the models hold that a sparse autoencoder is trained on, or read for."""
    return content_of_models(*pooled(wildcards))


def tested(which):
    """Return what a test reads of a model ("model") or of what it is compared with ("reference")."""
    model = f"<results>/models/{{{which}}}"

    def measurement(wildcards):
        return f"{RESULTS}/measurements/{declared(wildcards.probe).measurement}/{wildcards[which]}.nc"

    def derived(wildcards):
        """Return what was measured of the models planted beside it, and of known kind, where any are wanted."""
        probe = declared(wildcards.probe)
        planted = config["controls"]["planted"] and probe.control_statistics
        wanted = planted or beside_known(wildcards.probe)
        return f"{RESULTS}/measurements/{probe.measurement}/derived/{wildcards[which]}.nc" if wanted else []

    def rivals(wildcards):
        """Return what co-variation alone answers beside it, for probes that ask."""
        return f"{RESULTS}/rivals/{wildcards[which]}.nc" if with_rivals(wildcards.probe) else []

    return {
        "measurement": measurement,
        "delta_y": f"<results>/measurements/delta_y/{{{which}}}.nc",
        "seen": f"{model}/perturbations.tsv",
        "card": f"{model}/card.json",
        "observed": f"{model}/observed.nc",
        "quality": f"{model}/program_quality.tsv",
        "derived": derived,
        "rivals": rivals,
    }


def planted_for(probe):
    """Return what is planted beside a model; nothing that no probe asks anything, or that the config does not want."""
    wanted = config["controls"]["planted"] and probe in OF_CONTROLS
    return {"planted": {"d": config["power"]["d"]} if wanted else {}, "additive": config["controls"]["additive"]}


def measurements_of(probe):
    """Return the measurements of all models that a probe tests."""
    return every(f"measurements/{declared(probe).measurement}/{{model}}.nc", model=MODELS)


def responses_of(wildcards):
    """Return the delta_y of all models for a probe that chooses perturbations by it; of any other probe nothing."""
    reads = declared(wildcards.probe).reads
    return every("measurements/delta_y/{model}.nc", model=MODELS) if "responses" in reads else []


def known_of(wildcards):
    """Return the models of known kind that stand beside the models of the run, for a probe that asks them too."""
    return every("rivals/{model}.safetensors", model=MODELS) if beside_known(wildcards.probe) else []


def beside_known(probe):
    return declared(probe).stands_beside_known(config["controls"]["known"])


def with_rivals(probe):
    return "rivals" in PROBES[probe].tested_with


def copies_for(probe):
    """Return which untrained copies are measured beside a model; none that no probe asks anything."""
    return COPIES if probe in OF_CONTROLS else {}


def tables_of(probe, names=None):
    """Return the paths of a probe's further tables, in order of their names; of those named, if any are."""
    return every(f"tables/{probe}/{{name}}.tsv", name=sorted(PROBES[probe].tables["names"]) if names is None else names)


def products_of(probe):
    """Return all that belongs to a run with this probe, beside its evidence, figure and spaces."""
    further = [path for pattern in PROBES[probe].products for path in every(pattern, model=MODELS)]
    return [*tables_of(probe), *dict.fromkeys(further)]


def comparing(probe):
    """Return the pairs that a probe has a question about, as (kind, model, reference)."""
    return [pair for pair in PAIRS if pair[0] in PROBES[probe].pairs]


def evidence_of(wildcards):
    """Return the evidence files of a probe: one per model, one per pair that it has a question about."""
    names = [*MODELS, *(f"{model}-vs-{reference}" for _, model, reference in comparing(wildcards.probe))]
    return every(f"evidence/{wildcards.probe}/{{name}}.tsv", name=names)


def files_tested(wildcards):
    """Return the further files of the config that a probe's test reads."""
    setting = PROBES[wildcards.probe].files
    return given(config["probes"][wildcards.probe][setting].values()) if setting else []


def question(wildcards):
    """Return what a test needs to know of the config; nothing that only other probes depend on."""
    return {
        "settings": config["probes"][wildcards.probe] | beside(wildcards),
        "programs": PROGRAM_SETTINGS,
        "panels": chosen_panels(wildcards.probe),
        "statistics": config["statistics"],
        "models": WHERE,
        "comparison": COMPARISONS.get((wildcards.get("model"), wildcards.get("reference")), ""),
        "seed": SEED,
    }


def beside(wildcards):
    """Return what a probe's test knows of the config beside its own section."""
    probe, model, found = PROBES[wildcards.probe], wildcards.get("model"), {}
    if probe.partners:
        pairs = [pair for kind in probe.pairs for pair in config["pairs"][kind] if model in pair]
        found["partners"] = [name for pair in pairs for name in pair if name != model]
    if probe.pooled:
        found["pooled"] = config["sae"][config["probes"][probe.measurement]["sae"]]["models"]
    return found


def tabled(probe):
    """Return what a probe's further tables depend on in the config."""
    draws = ["permutations"] if PROBES[probe].tables["permutations"] else []
    numbers = {key: config["statistics"][key] for key in draws}
    return {"settings": config["probes"][probe], "programs": PROGRAM_SETTINGS, "seed": SEED, **numbers}


def stability_of(probe):
    """Return the table of how stable the features are that a probe reads, where it asks and there is one."""
    if not PROBES[probe].tables["stability"]:
        return []
    sae = config["probes"][PROBES[probe].measurement]["sae"]
    return f"{RESULTS}/sae/{sae}/features.tsv" if config["sae"][sae]["seeds"] > 1 else []


def chosen_panels(*probes):
    """Return the panels that any of these probes asks about."""
    return asked_panels(config, *probes)


MEASURED = sorted({SPACE_OF_RESPONSES, *(each.measurement for each in PROBES.values())})
# Probe -> the space that its measurement holds.
SPACES = {
    probe: declared(probe).space_at(layer_of(config, config["probes"].get(probe, {})))
    for probe in MEASURED
    if declared(probe).space
}
# Autoencoders whose features are a space.
SAE_OF_SPACES = {config["probes"][probe]["sae"] for probe in SPACES if "sae" in config["probes"].get(probe, {})}
ANSWERING = [probe for probe in PROBES if PROBES[probe].answers]
