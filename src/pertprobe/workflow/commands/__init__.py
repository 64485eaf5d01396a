"""The command line: thin, over the library and Snakemake."""

from pertprobe.workflow.commands import check, demo, figures, init, report, run
from pertprobe.workflow.commands.app import app
