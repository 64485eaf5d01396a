# Two commands do everything: `make demo` and `make test`. Both install what they need into .venv first.
PYTHON ?= python3
REPORT ?= results/demo/report.html
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
RUN ?= results/demo
CORES ?= $(shell nproc)

.PHONY: demo test test-workflow test-others test-laws calibration calibration-short faults reliability mutation cluster cluster-test browser browser-test screenshots lint-figures install lint lock contracts docs gallery benchmarks benchmark-demo benchmark-report clean

demo: install  ## run the demo, whose truth is known, into results/demo
	$(BIN)/snakemake --cores $(CORES)

# The workflow's tests wait for its jobs most of the time: the others run beside them.
test: install  ## run every test
	$(MAKE) --no-print-directory --jobs 2 --output-sync=target test-workflow test-others test-laws

test-workflow: install  ## those that run Snakemake
	$(BIN)/python -m pytest tests/workflow

test-others: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --ignore tests/workflow --ignore tests/laws --ignore tests/calibration --ignore tests/faults

test-laws: install  ## every probe held to the laws of all, calibrated with the sizes of CI, and a draw of all faults
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/laws tests/calibration tests/faults

calibration: install  ## false positives, power, planted and untrained models: is the instrument right? results/calibration and docs/calibration.md
	$(BIN)/snakemake --cores $(CORES) -- calibration
	$(BIN)/python docs/calibration_page.py

faults: install  ## three faults injected into every probe: does its calibration show them?
	PERTPROBE_ALL_FAULTS=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/calibration/test_faults.py -rs

reliability: install  ## every fault of tests/faults, about twenty minutes on two cores, into docs/reliability.md and known.tsv
	OMP_NUM_THREADS=1 $(BIN)/python tests/faults/long_form.py $(GROUPS)

mutation: install  ## mutants of statistics and verdicts: which small changes do the tests not see? into docs/reliability.md
	OMP_NUM_THREADS=1 $(BIN)/python tests/faults/mutation.py $(MUTANTS)
	$(BIN)/python docs/reliability_page.py

calibration-short: install  ## the same with the sizes of CI
	$(BIN)/snakemake --cores $(CORES) --configfile config/calibration_short.yaml -- calibration

cluster: install  ## the executors of profiles/slurm and profiles/kubernetes, beside what is locked
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements-cluster.lock

cluster-test: cluster  ## the tiny demo through a Slurm of one node, installed on this machine (Debian, as root)
	PERTPROBE_CLUSTER=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/cluster tests/workflow/test_workflow_profiles.py -rs

browser: install  ## what drives a Chromium, beside what is locked; the Chromium is the machine's
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements-browser.lock

browser-test: browser  ## the pages of a run in a Chromium: PERTPROBE_CHROMIUM, or one on PATH
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/browser -rs

lint-figures: install  ## what a journal would find wrong with the figures of RUN (results/demo)
	$(BIN)/python tests/figures/run_figures.py $(RUN)/figures

screenshots: browser  ## REPORT (results/demo/report.html), as people see it, into docs/figures
	PYTHONPATH=tests/browser $(BIN)/python docs/screenshots.py $(REPORT)

install: $(INSTALLED)

# torch first and alone: its build (CPU, CUDA) differs from machine to machine, so no hash of it is locked.
$(INSTALLED): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $(INSTALLED)

lint: install  ## ruff, snakefmt and snakemake's own linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile rules workflow
	$(BIN)/snakemake --lint

lock: install  ## resolve requirements.lock anew from pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --extra dev \
	    --no-emit-package torch pyproject.toml -o requirements.lock
	for extra in cluster browser; do \
	    $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --extra $$extra \
	        --constraint requirements.lock --no-emit-package torch pyproject.toml -o requirements-$$extra.lock \
	        $$(sed -n 's/^\([a-z0-9-]*\)==.*/--no-emit-package \1/p' requirements.lock) || exit 1; \
	    sed -i '/^# /d' requirements-$$extra.lock; \
	done
	$(BIN)/python envs/from_lock.py

contracts: install  ## what pages of docs/ say of config, probes and words
	$(BIN)/python docs/from_declarations.py

docs: install  ## the pages of docs/ as a web site, into results/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

gallery: demo  ## docs/gallery.md and its pictures, of the demo's figures
	$(BIN)/python docs/gallery.py results/demo

benchmarks: install  ## speed and memory at the published size, beside what people do today, into benchmarks/table.*
	$(BIN)/python benchmarks/suite.py

benchmark-demo: install  ## time and memory of the demo, a rerun and a dry run, into benchmarks/demo.*
	$(BIN)/python benchmarks/demo.py

benchmark-report: browser  ## size and opening time of a report of the published size, into benchmarks/report.*
	PYTHONPATH=tests/browser $(BIN)/python benchmarks/report.py

clean:
	rm -rf results .snakemake
