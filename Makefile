# Everything a developer needs; `make help` lists it. CI runs these same targets.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
# Two processes, as the suite is meant for two cores; PYTEST takes further arguments of pytest.
JOBS   ?= 2
PYTEST ?=

.DEFAULT_GOAL := help
.PHONY: help setup check test test-fast serve demo bench docs lock

help: ## show this list
	@echo "make TARGET, where TARGET is one of"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(firstword $(MAKEFILE_LIST)) | while IFS='|' read -r name text; do printf '  %-10s %s\n' "$$name" "$$text"; done

setup: ## make the virtual environment and install what is locked; silent when nothing changed
	@requirements/setup "$(PYTHON)" "$(VENV)" "$(STAMP)"

check: setup ## format, lint, types, import layers, artefacts, reference pages, lock file
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/fhir-server artefacts check
	@$(BIN)/python docs/generate.py --check
	@$(BIN)/python requirements/lock.py --check

test: setup ## the whole suite, in parallel, with branch coverage
	@rm -rf .coverage && mkdir .coverage
	@$(BIN)/pytest -n $(JOBS) --dist loadgroup --cov --cov-report=term --cov-report=xml:.coverage/coverage.xml $(PYTEST)

test-fast: setup ## unit and property tests only
	@$(BIN)/pytest tests/unit tests/property $(PYTEST)

serve: setup ## start everything on this machine; Ctrl-C stops it
	@exec $(BIN)/fhir-server serve

demo: setup ## play the main scenario against the running server
	@$(BIN)/fhir-server demo --walkthrough

bench: setup ## measure a server of our own; BENCH takes arguments of python -m benchmarks
	@$(BIN)/python -m benchmarks $(BENCH)

docs: setup ## write the reference pages anew from the artefacts and the settings
	@$(BIN)/python docs/generate.py

lock: setup ## renew the lock files with the newest versions that pyproject.toml allows
	@$(BIN)/python requirements/lock.py
