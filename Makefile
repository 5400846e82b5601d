# The two commands of the README are `make retrain` and `make test`; each sets up what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

export DO_NOT_TRACK := 1
export MLFLOW_DISABLE_TELEMETRY := true
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export DVC_NO_ANALYTICS := 1
export ORT_DISABLE_TELEMETRY := 1

.PHONY: help retrain test test-fast format check figures comparators docs lock clean
.DEFAULT_GOAL := help

help: ## Show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

retrain: $(READY) ## Set up, then train, evaluate, register and promote on the embedded data
	$(BIN)/unseen retrain --recipe walkway

test: $(READY) ## Set up, then run every test
	$(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 --dist loadfile \
		--no-loadscope-reorder

test-fast: $(READY) ## Run the tests that need no server and no training, in under a minute
	$(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 -m "not slow" -q

format: $(READY) ## Sort the imports and format the code
	$(BIN)/ruff check --fix --exit-zero --quiet .
	$(BIN)/ruff format .

check: $(READY) ## Lint, check the formatting, the types and the layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_architecture.py
	$(BIN)/python -m benchmarks.check_results

figures: $(READY) ## Write the tables of docs/figures.md from the benchmarks' results
	$(BIN)/python -m benchmarks.figures

comparators: $(READY) ## An environment with anomalib, of which benchmarks are told by --anomalib-python
	$(PYTHON) -m venv .venv-comparators
	VIRTUAL_ENV=.venv-comparators $(BIN)/uv pip install --quiet --requirement benchmarks/comparators.txt

docs: $(READY) ## Build the documentation into site/, offline; a dead link or a warning stops it
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict --clean

LOCKED := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-annotate --no-header
SERVING := tasks/serving/requirements.lock

lock: $(READY) ## Resolve both locks again from pyproject.toml
	$(LOCKED) --extra dev pyproject.toml --output-file requirements.lock
	$(LOCKED) --group serve --constraint requirements.lock --output-file $(SERVING)

clean: ## Remove the environment and the local state (never the data)
	-$(BIN)/unseen down
	rm -rf $(VENV) .unseen

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "unseen needs Python 3.11 or newer; set PYTHON=/path/to/python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip sync --quiet --compile-bytecode --require-hashes requirements.lock
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable .
	touch $(READY)
