# The commands that the README names. `make help` lists them.

PYTHON ?= python3
PORT ?= 4200
BIN := .venv/bin
INSTALLED := .venv/.installed

# What a run can be told: DATA=folder AS_OF=time CONFIG=file STATE=folder DRY_RUN=1
ifdef DATA
export LIFECYCLE__SOURCE__KIND = files
export LIFECYCLE__SOURCE__PATH = $(DATA)
ifndef LIFECYCLE__STATE__DIR
# Another company's data gets a memory of its own.
STATE ?= .lifecycle/data/$(notdir $(patsubst %/,%,$(DATA)))
endif
endif
ifdef CONFIG
export LIFECYCLE_CONFIG = $(CONFIG)
endif
ifdef STATE
export LIFECYCLE__STATE__DIR = $(STATE)
endif

# Tools that would call home wait minutes where they cannot.
export DO_NOT_TRACK = 1
export DBT_SEND_ANONYMOUS_USAGE_STATS = false

.DEFAULT_GOAL := help
.PHONY: help install run test proofs faults corruptions oracle year lint audit server lock clean

help: ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "make %-8s %s\n", $$1, $$2 }'

run: install ## install, then run the whole pipeline once (DATA= AS_OF= CONFIG= STATE= DRY_RUN=1)
	@$(BIN)/lifecycle run $(if $(AS_OF),--as-of "$(AS_OF)") $(if $(DRY_RUN),--dry-run)

test: install ## every test
	@$(BIN)/pytest -q -n 2 --dist loadfile --no-loadscope-reorder

proofs: install ## long proofs: a week of real orders, killed runs, lived days, the benchmarks
	@$(BIN)/pytest -q -n 2 -m long --ignore tests/faults --ignore tests/corruptions --ignore tests/oracle

faults: install ## 20,000 mails, 200 kills, a fifth of the answers broken, on both ledgers
	@$(BIN)/pytest -q -m long tests/faults

year: install ## a year of ordinary life without a false stop (hours; ORDERS=folder: of these)
	@$(BIN)/python tests/corruptions/year.py $(if $(ORDERS),orders --data "$(ORDERS)",demo)

corruptions: install ## every way in which a delivery breaks overnight
	@$(BIN)/pytest -q -n 2 -m "long or not long" tests/corruptions

oracle: install ## thousands of random companies and troubles against docs/triggers.md (ORACLE_CASES=5000)
	@$(BIN)/pytest -q -m long tests/oracle

lint: install ## ruff, mypy, the layers of the packages, bandit, and sqlfluff
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/bandit -q -c pyproject.toml -r lifecycle flows
	@LIFECYCLE_WAREHOUSE=:memory: $(BIN)/sqlfluff lint --disable-progress-bar dbt_project

server: install ## Prefect's server, worker, schedules and page on this machine (PORT=4200)
	@PORT=$(PORT) $(BIN)/python -m flows.server

install: $(INSTALLED) ## .venv as the locks say: requirements.txt for production, -dev for tests

$(INSTALLED): requirements.txt requirements-dev.txt requirements-uv.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' || \
	  { echo "Python 3.11 or 3.12 is needed: make PYTHON=python3.11 …" >&2; exit 1; }
	@echo "Installing into .venv …"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@test -x $(BIN)/uv || $(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-uv.txt
	@# Compiled once: else each command compiles what it imports, wherever Python may not write.
	@VIRTUAL_ENV=.venv $(BIN)/uv pip sync -q --require-hashes --compile-bytecode requirements.txt requirements-dev.txt
	@VIRTUAL_ENV=.venv $(BIN)/uv pip install -q --no-deps --no-build-isolation -e .
	@touch $@

LOCK = VIRTUAL_ENV=.venv $(BIN)/uv pip compile --python-version 3.11 --generate-hashes \
  --no-emit-index-url --no-annotate --no-header -q

lock: install ## the locks anew from pyproject.toml, and from requirements-uv.in
	@$(LOCK) pyproject.toml --all-extras -o requirements.txt
	@$(LOCK) pyproject.toml --all-extras --group dev -c requirements.txt -o requirements-dev.txt
	@$(LOCK) requirements-uv.in -o requirements-uv.txt

audit: install ## known holes of what is locked, where an advisory database can be reached
	@$(BIN)/pip-audit --strict --require-hashes --disable-pip --progress-spinner off -r requirements.txt

clean: ## forget the environment and what tools left; the state folder stays
	@rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis dbt_project/target dbt_project/logs
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
