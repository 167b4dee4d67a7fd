# The two commands of the README, and what they share.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Threads that wait by spinning make two busy programs on one machine ten times slower each.
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: demo test setup lint bench
setup: $(VENV)/.ready

# torch first: the version that the project is developed on; the package itself takes any from 2.10 on.
$(VENV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet torch==2.13.0
	$(BIN)/python -m pip install --quiet "setuptools>=77"
	$(BIN)/python -m pip install --quiet --no-build-isolation -e ".[dev]"
	touch $@

# Trains CycleGAN on the built-in scenes, stylises held-out ones, and scores them.
demo: setup
	$(BIN)/python examples/demo.py

test: setup
	$(BIN)/python -m pytest

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy stylekit plugins tests examples benchmarks

bench: setup
	$(BIN)/python -m pytest benchmarks -q --benchmark-columns=min,median,max,rounds
