# The two commands of the README, and what they share.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Threads that wait by spinning make two busy programs on one machine ten times slower each.
export OMP_WAIT_POLICY ?= PASSIVE

# A process a core, as the tests use one thread; a file's tests stay together, and share what is slow to make.
PARALLEL := -n auto --dist loadfile --benchmark-disable

.PHONY: demo test test-reference setup lint bench cuda
setup: $(VENV)/.ready

# torch first: the version that the project is developed on; the package itself takes any from 2.10 on.
$(VENV)/.ready: pyproject.toml setup.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet torch==2.13.0
	$(BIN)/python -m pip install --quiet "setuptools>=77" "ninja>=1.11" "pybind11>=2.13"
	$(BIN)/python -m pip install --quiet --no-build-isolation -e ".[dev]"
	touch $@

# Trains CycleGAN on the built-in scenes, stylises held-out ones, and scores them.
demo: setup
	$(BIN)/python examples/demo.py

# What changed of the kernels is compiled first; where that does not go, the tests of the kernels say so.
test: setup
	-$(BIN)/stylekit kernels build
	$(BIN)/python -m pytest $(PARALLEL)

# What rests on the kernels, without them.
test-reference: setup
	STYLEKIT_KERNELS=reference $(BIN)/python -m pytest $(wildcard tests/test_ops*.py tests/test_layers.py) \
		tests/training/test_engine.py tests/plugins -m "not slow" $(PARALLEL)

# Compiles the CUDA kernels for every target, strictly; it takes nvcc, but no GPU.
cuda: setup
	$(BIN)/python .ci/cuda.py

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy stylekit plugins tests examples benchmarks docs

bench: setup
	$(BIN)/python -m pytest benchmarks -q --benchmark-columns=min,median,max,rounds
