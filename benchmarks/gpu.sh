#!/usr/bin/env sh
# The engine on a GPU: gpu.json and gpu.md, in under 8 minutes. Where there is no GPU the table says so.
set -e
cd "$(dirname "$0")/.."
PYTHONPATH="src:benchmarks${PYTHONPATH:+:$PYTHONPATH}" exec "${PYTHON:-python3}" benchmarks/gpu.py "$@"
