"""The command line: thin, over the library and Snakemake."""

from pertprobe.workflow.commands import demo, figures, init, report, run
from pertprobe.workflow.commands.app import app
