# Table of contents of the DAG. How the pieces fit is told in docs/architecture.md.
from os.path import isfile

from snakemake.utils import min_version

min_version("9.27")

DEMO = "config/config.yaml"


# --configfile merges into configfile: the demo is a default that steps aside. Snakemake looks for it where the run is; an
# installed workflow lies elsewhere and brings it.
if not config.get("models"):

    configfile: DEMO if isfile(DEMO) else workflow.source_path(DEMO)


include: "rules/common.smk"


pathvars:
    results=RESULTS,


include: "rules/inputs.smk"
include: "rules/models.smk"
include: "rules/sae.smk"
include: "rules/quality.smk"
include: "rules/probes.smk"
include: "rules/further.smk"
include: "rules/verdicts.smk"
include: "rules/figures.smk"
include: "rules/calibration.smk"
include: "rules/atlas.smk"


if workflow.is_main_process:
    make_again(workflow, (RESULTS, ANSWERS), FILES, logger.warning)


# Jobs on this machine find libraries loaded (workflow/warm.py). PERTPROBE_WARM= in the environment: each loads its own.
onstart:
    ready_this_machine(workflow)


rule all:
    default_target: True
    input:
        "<results>/verdicts.tsv",
        "<results>/readings.tsv",
        "<results>/report.html",
        "<results>/provenance.json",
        "<results>/run_times.tsv",
        rules.spaces.output,
        "<results>/quality.html",
        every("sae/{sae}/{table}.tsv", sae=COMPARED_SAE, table=["stability", "features"]),
        [products_of(probe) for probe in PROBES],
