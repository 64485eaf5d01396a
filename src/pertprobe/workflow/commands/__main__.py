"""`python -m pertprobe.workflow.commands` is `pertprobe`."""

from pertprobe.workflow.commands import app

app(prog_name="pertprobe")
