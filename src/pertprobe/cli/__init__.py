"""The command line: thin, over the library and Snakemake."""

from pertprobe.cli.app import app
