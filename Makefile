# Two commands for a newcomer: `make demo` and `make test`. Each makes .venv on first use.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do command -v $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# three processes, for many tests wait for others; a file's tests in one; TESTFLAGS= for one process
TESTFLAGS ?= --numprocesses 3 --dist loadfile --no-loadscope-reorder

.PHONY: help demo test test-long test-oldest torture bench lint format clean

help:
	@echo "make demo    the whole flow on made-up faces, to a report"
	@echo "make test    the tests"
	@echo "make test-long  those that take minutes each"
	@echo "make test-oldest  the tests with the oldest releases that featx takes, in .venv-oldest"
	@echo "make torture  kills, broken disks, damaged files, hostile input: many rounds, hours"
	@echo "make bench   what is fast, against what: an hour, on a machine that does nothing else"
	@echo "make lint    ruff, mypy, bandit and pip-audit"
	@echo "make format  ruff format"
	@echo "make clean   remove .venv and caches"

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "featx needs Python 3.11 or newer; say which with: make PYTHON=/path/to/python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[finetune,haar,dlib,test,lint]'
	touch $@

demo: $(STAMP)
	$(BIN)/featx demo -o demo

test: $(STAMP)
	$(BIN)/python -m pytest $(TESTFLAGS)

test-long: $(STAMP)
	$(BIN)/python -m pytest $(TESTFLAGS) -m long

# The oldest release of each requirement that pyproject.toml names; torch alone is some gigabytes. They
# warn of much that has changed since, which is no error here.
test-oldest: $(STAMP)
	$(BIN)/uv venv --quiet --seed --allow-existing --python $(BIN)/python .venv-oldest
	$(BIN)/uv pip install --quiet --python .venv-oldest/bin/python --resolution lowest-direct \
	  --editable '.[finetune,haar,dlib,test]'
	.venv-oldest/bin/python -m pytest -W default $(TESTFLAGS)

# TORTURE='--rounds 5 --hours 0.01' for a first look
torture: $(STAMP)
	$(BIN)/python -m tests.torture $(TORTURE)

bench: $(STAMP)
	$(BIN)/python benchmarks/page.py -o bench.md

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive featx regress cli experiments
	$(BIN)/python -m tests.audit

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
