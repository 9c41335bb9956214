# Everything here needs python3 (3.11 or newer, with its venv module) and the package registries; nothing else.

PYTHON ?= python3
HOST ?= 127.0.0.1
PORT ?= 8000
ARGS ?=
LOAD ?= --calls 5,20,50,110 --pipecat 5,10,12 --floor

MODELS := silero-vad smart-turn whisper-base qwen2.5-1.5b

VENV := .venv
BIN := $(VENV)/bin
PIP_VERSION := 26.3
SETUPTOOLS_VERSION := 84.2.1

.DEFAULT_GOAL := help
.PHONY: help install install-dev models demo serve test check format bench clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(VENV)/.installed ## Make .venv and install Antiphon in it
	@:

install-dev: $(VENV)/.installed-dev

models: install ## Fetch the default models (about 1.3 GB, once)
	@$(BIN)/antiphon models pull $(MODELS)

demo: install ## Hold a spoken conversation on this machine and print it
	@$(BIN)/antiphon demo $(ARGS)

serve: install ## Fetch the models that the configuration uses, and run the server (HOST, PORT)
	@$(BIN)/antiphon serve --pull --host $(HOST) --port $(PORT) $(ARGS)

test: install-dev models ## Run every test (ARGS="-k name" for some)
	@$(BIN)/python -m pytest $(ARGS)

check: install-dev ## Format, lint, types, import rules, docs
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest -q --durations=0 tests/test_imports.py tests/test_layout.py tests/test_docs.py

format: install-dev ## Format the code and sort its imports
	@$(BIN)/ruff check --fix-only -q .
	@$(BIN)/ruff format .

bench: install-dev models ## Run the measurements in benchmarks/ (LOAD: how many calls)
	@set -e; for file in $(filter-out %/bench_load.py %/bench_counts.py,$(wildcard benchmarks/bench_*.py)); do \
		echo "== $$file"; $(BIN)/python $$file $(ARGS); done
	@echo "== benchmarks/bench_counts.py"; $(BIN)/python benchmarks/bench_counts.py || test $$? -eq 2 # no valgrind
	@echo "== benchmarks/bench_load.py"; $(BIN)/python -m benchmarks.bench_load $(LOAD)

clean: ## Remove .venv and what the tools left behind (not the models)
	rm -rf $(VENV) out build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis src/*.egg-info

# The stamps make a second run a matter of milliseconds. pip and setuptools are pinned too, so that what
# builds the package is the same everywhere.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Antiphon needs Python 3.11 or newer: make $(MAKECMDGOALS) PYTHON=python3.11" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: requirements.txt pyproject.toml | $(BIN)/python
	@echo "Installing Antiphon in $(VENV)"
	@$(BIN)/python -m pip install -q --disable-pip-version-check pip==$(PIP_VERSION) setuptools==$(SETUPTOOLS_VERSION)
	@$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements.txt
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	@echo "Installing what tests and checks need"
	@$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements-dev.txt
	@touch $@
