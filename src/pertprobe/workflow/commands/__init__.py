"""The command line: thin, over the library and Snakemake."""

from pertprobe.workflow.commands import init
from pertprobe.workflow.commands.app import app
