# Everything happens in .venv, which `make setup` makes and keeps up to date; each target below does what it needs first.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test test-unit test-long test-clients vllm-env test-vllm lint format monitoring bench constraints clean

# The first Python of 3.11 or newer; `make PYTHON=…` chooses another.
PYTHON ?= $(firstword $(foreach p,python3.11 python3.12 python3.13 python3,\
	$(shell $(p) -c 'import sys; print("$(p)" if sys.version_info >= (3, 11) else "")' 2>/dev/null)))
BIN := .venv/bin
VLLM := benchmarks/.environments/vllm
CHECKED := platform jobs serve tests examples benchmarks k8s
DOCS ?=
QA ?=
TESTS ?=
# So many processes run tests side by side, file by file, each with a Ray and a Milvus of its own (tests/conftest.py).
WORKERS ?= $(if $(TESTS),0,2)
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --no-loadscope-reorder

help: ## Show this.
	@echo "Plait: train adapters, build indexes, serve and measure them on one Ray cluster."
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# ---------------------------------------------------------------- setup

# In a strict editable installation every file is a link of its own (so that mypy and editors follow it): when a file
# is added or removed, the links are made again. The name of this mark holds a checksum of the list of files.
LINKS := .venv/links-$(shell find platform/plait jobs serve -name '*.py' -o -name '*.[ch]' -o -name '*.yaml' -o -name '*.txt' -o -name '*.html' -o -name '*.css' -o -name py.typed | \
	LC_ALL=C sort | cksum | cut -d' ' -f1)
PIP := $(BIN)/python -m pip --disable-pip-version-check

setup: $(LINKS) ## Make .venv with everything in it; the second time takes seconds.

$(LINKS): .venv/dependencies
	@rm -f .venv/links-*
	@$(PIP) install -qq --no-build-isolation --no-deps --config-settings editable_mode=strict -e .
	@touch $@

.venv/dependencies: .venv/pyvenv.cfg pyproject.toml constraints.txt
	@echo "installing about $$(wc -l < constraints.txt) packages into .venv: a few minutes"
	@$(PIP) install -qq "setuptools>=80"
	@.ci/install-torch $(BIN)/python constraints.txt
	@$(PIP) install -qq --no-build-isolation --constraint constraints.txt \
		--config-settings editable_mode=strict -e '.[dev]'
	@touch $@

.venv/pyvenv.cfg:
	@[ -n "$(PYTHON)" ] || { echo "Plait needs Python 3.11 or newer: make setup PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -m venv .venv || { echo "This Python cannot make environments; on Debian: apt install python3-venv" >&2; \
		rm -rf .venv; exit 1; }

constraints: setup ## Pin what is installed in .venv now.
	@{ head -1 constraints.txt; $(PIP) freeze --exclude-editable | sed -E 's/^(torch==[^+]*).*/\1/'; } > .venv/pins
	@mv .venv/pins constraints.txt && touch .venv/dependencies

# ---------------------------------------------------------------- use

demo: setup ## Index, train, serve, ask and compare. Your own data: make demo DOCS=folder QA=folder
	@PATH="$(CURDIR)/$(BIN):$$PATH" examples/demo.sh "$(DOCS)" "$(QA)"

# ---------------------------------------------------------------- checks

test: lint ## Lint, then run all tests and print their coverage; some of them: make test TESTS=tests/unit
	@$(PYTEST) --cov --cov-report= $(TESTS)
	@$(BIN)/coverage report $(if $(TESTS),,--fail-under=85)
	@echo "Left out: tests marked long, as those on two hosts, of stopped jobs, of ZeRO on two workers. Run them with make test-long."

test-unit: setup ## Run the unit tests alone, for the inner loop: about two minutes.
	@$(PYTEST) --durations=10 tests/unit tests/contract

test-long: setup ## Run the tests that make test leaves out: two hosts in networks of their own, stopped jobs, ZeRO on two workers.
	@$(BIN)/python -m pytest -m long

test-clients: setup ## Try packages of clients against the API, each in an environment of its own; MODEL= names the model.
	@$(BIN)/python tests/clients/run.py $(if $(MODEL),--model $(MODEL))

vllm-env: setup ## Make an environment with vLLM (its CPU build where there is no GPU) and Plait in it.
	@.ci/install-vllm $(BIN)/python $(VLLM) constraints.txt

test-vllm: vllm-env ## Run the tests that every engine passes against vLLM; `make test` runs them against torch.
	@PLAIT_TEST_ENGINE=vllm $(VLLM)/bin/python -m pytest tests/contract/test_engine_contract.py

lint: setup ## Check style, format, types and which modules import which.
	@$(BIN)/ruff check $(wildcard $(CHECKED))
	@$(BIN)/ruff format --check $(wildcard $(CHECKED))
	@$(BIN)/mypy -p plait
	@$(BIN)/lint-imports --no-logo

format: setup ## Bring the code into the house format.
	@$(BIN)/ruff check --fix $(wildcard $(CHECKED))
	@$(BIN)/ruff format $(wildcard $(CHECKED))

monitoring: setup ## Make the rules and dashboards of k8s/monitoring from the code.
	@$(BIN)/plait metrics kubernetes k8s/monitoring

bench: setup ## Run the benchmarks, side by side with peers.
	@for file in $(filter-out %_on_gpu.py,$(wildcard benchmarks/*.py)); do $(BIN)/python "$$file"; done
	@echo "Left out: $(wildcard benchmarks/*_on_gpu.py), which need a GPU."

clean: ## Remove .venv and everything built; what is under PLAIT_HOME stays.
	rm -rf .venv build dist *.egg-info .import_linter_cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage .coverage.* demo-data
