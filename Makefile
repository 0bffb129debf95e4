# Every daily act is one word. `make` alone prints them.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# Which Python makes the virtual environment.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# How many test processes run at once: one more than cores, for they often wait.
WORKERS ?= $(shell expr $$(nproc) + 1)
# How much longer than said tests wait: make test PATIENCE=3 on a machine that is busy.
export PATIENCE ?= 1
# How long make chaos and make bench-soak go on. The SEED of chaos is drawn and printed unless one is given.
MINUTES ?= 5
# Whose servers make matrix fetches: trixie, forky; both when empty
RELEASES ?=
# More words for pytest: make test ARGS="-k ledger -x"
ARGS ?=
# The user packages of the quick start; a running Millrace takes yours from the environment.
MILLRACE_APPS ?= numbers_app
LOCK := uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-emit-index-url --no-header

.PHONY: help venv run stack monitor test cover faults heavy chaos matrix lint verify bench bench-quick bench-backlog bench-soak bench-ledger pictures docs model release lock clean

help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(READY) ## Make the virtual environment in .venv from the locked dependencies

run: $(READY) ## Run it all here, without root: PostgreSQL, demo broker, web, worker, clock
	@MILLRACE_APPS="$(MILLRACE_APPS)" exec $(BIN)/millrace up

stack: $(READY) ## The same on real RabbitMQ and PostgreSQL (by apt where missing)
	@deploy/install-packages
	@MILLRACE_APPS="$(MILLRACE_APPS)" exec $(BIN)/millrace stack

monitor: $(READY) ## The stack with Prometheus and Alertmanager beside it
	@deploy/install-packages
	@MILLRACE_APPS="$(MILLRACE_APPS)" exec $(BIN)/millrace monitor

test: $(READY) ## Run every test but the heavy ones; about 20 minutes on 2 cores
	@deploy/install-packages || test "$$CI" != true
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadscope -m 'not heavy' $(ARGS)

cover: ## The same, and how much of the code it reaches: 90% at least; takes half as long again
	@$(MAKE) --no-print-directory test ARGS="--cov --cov-report=term:skip-covered $(ARGS)"

# Only a run of all of them is written down.
faults: WORKERS = $(shell nproc)
faults: $(READY) ## Make every fault, and write docs/reliability.md; about 35 minutes
	@deploy/install-packages
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadscope -p tests.faults.report \
		$(if $(strip $(ARGS)),$(ARGS),--reliability docs/reliability.md)

heavy: WORKERS = $(shell nproc)
heavy: $(READY) ## Run what is too long for make test and is no fault: the handbook typed, releases, fuzzing, roles
	@deploy/install-packages engines
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadscope -m 'heavy and not fault' --ignore=tests/faults $(ARGS)

chaos: $(READY) ## Make random faults under load: make chaos SEED=7 MINUTES=30
	@deploy/install-packages
	@$(BIN)/python -m tests.faults.nemesis --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

matrix: $(READY) ## The tests that meet servers, on other versions of them (Debian; fetched)
	@$(BIN)/python -m tests.matrix --pytest "$(ARGS)" $(RELEASES)

lint: $(READY) ## Check style, types and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

verify: $(READY) ## Check that what is said twice agrees: settings, docs, topology, …
	@$(BIN)/python -m pytest tests/repository $(ARGS)

# What is measured: full, connections, sizes, web, types, cost. Its result is kept, and the docs follow.
PROFILE ?= full
ORDERS ?= 20000
# Seconds between two looks of a soak.
EVERY ?= 10
# Events in the larger of the two ledgers.
EVENTS ?= 10000000

bench: $(READY) ## Measure all peers, keep it, write docs/performance.md; about 11 minutes
	@deploy/install-packages
	@$(BIN)/python -m bench run $(PROFILE) --keep $(ARGS)

bench-quick: $(READY) ## Measure for under 2 minutes; say what was lost against the kept result
	@deploy/install-packages
	@$(BIN)/python -m bench run quick $(if $(KEEP),--keep) $(ARGS)

bench-backlog: $(READY) ## Accept with no worker running, then drain: make bench-backlog ORDERS=1000000
	@deploy/install-packages
	@$(BIN)/python -m bench backlog --orders $(ORDERS) $(if $(KEEP),--keep) $(ARGS)

bench-soak: $(READY) ## A steady flow for long: make bench-soak MINUTES=30 EVERY=60
	@deploy/install-packages
	@$(BIN)/python -m bench soak --minutes $(MINUTES) --every $(EVERY) $(if $(KEEP),--keep) $(ARGS)

bench-ledger: $(READY) ## Every query at 10,000 and at 10 million events: make bench-ledger EVENTS=10000000
	@deploy/install-packages
	@$(BIN)/python -m bench ledger --events $(EVENTS) $(if $(KEEP),--keep) $(ARGS)

pictures: $(READY) ## Draw dashboards and console for the docs, over real runs (Chromium)
	@deploy/install-packages
	@$(BIN)/python -m tests.monitoring.pictures
	@$(BIN)/python -m tests.browser.pictures

docs: $(READY) ## Make the handbook as a site, below build/site
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build

model: $(READY) ## Check the model of the road with spin
	@deploy/install-packages
	@$(BIN)/python -m pytest tests/unit/test_model.py tests/unit/test_model_of_acts.py $(ARGS)

release: $(READY) ## Wheel, sdist, what they run on and its licences, into dist; the same bytes each time
	@$(BIN)/python -m deploy.release

lock: ## Resolve the dependencies anew into requirements.lock (needs uv)
	@command -v uv >/dev/null || { echo "millrace: make lock needs uv" >&2; exit 1; }
	$(LOCK) --upgrade setup.cfg --extra embedded --extra otel --extra dev --extra build -o requirements.lock
	$(LOCK) --upgrade bench/requirements.in -o bench/requirements.lock

clean: ## Remove the virtual environment and all caches; data under var/ stays
	rm -rf $(VENV) build dist *.egg-info examples/*/*.egg-info htmlcov .coverage .coverage.*
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -not -path './var/*' -prune -exec rm -rf {} +

$(READY): requirements.lock setup.cfg pyproject.toml examples/numbers/setup.cfg
	@deploy/prerequisites "$(PYTHON)"
	@test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV)
	@echo "millrace: installing the locked dependencies into $(VENV); a minute, once"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e . -e examples/numbers
	@touch $@
