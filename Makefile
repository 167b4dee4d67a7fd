# `make help` lists the targets.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Threads that wait by spinning make two busy programs on one machine ten times slower each.
export OMP_WAIT_POLICY ?= PASSIVE

# One process per core, as the tests use one thread. The tests of a file stay together and share slow fixtures.
PARALLEL := -n auto --dist loadfile --benchmark-disable
TYPED := stylekit plugins tests examples benchmarks docs

.DEFAULT_GOAL := help
.PHONY: help setup demo fast test test-all test-reference fuzz format lint typecheck cuda bench stability

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

setup: $(VENV)/.ready ## create .venv with torch, stylekit and what development needs

# torch first: the version that the project is developed on; the package itself takes any from 2.10 on.
$(VENV)/.ready: pyproject.toml setup.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet torch==2.13.0
	$(BIN)/python -m pip install --quiet "setuptools>=77" "ninja>=1.11" "pybind11>=2.13"
	$(BIN)/python -m pip install --quiet --no-build-isolation -e ".[dev]"
	touch $@

demo: setup ## train CycleGAN on drawn scenes for a few minutes, translate held-out ones, and score them
	$(BIN)/python examples/demo.py

fast: setup ## the tests that take about a second at most
	$(BIN)/python -m pytest -m "not slow and not long" $(PARALLEL)

# What changed of the kernels is compiled first; where that fails, the tests of the kernels report it.
test: setup ## what a change has to pass: all tests but the longest
	-$(BIN)/stylekit kernels build
	$(BIN)/python -m pytest -m "not long" $(PARALLEL)

test-all: setup ## all tests, which take more than an hour; before a release
	-$(BIN)/stylekit kernels build
	$(BIN)/python -m pytest $(PARALLEL)

test-reference: setup ## the tests of what uses the kernels, without the kernels
	STYLEKIT_KERNELS=reference $(BIN)/python -m pytest tests/test_ops.py tests/test_layers.py tests/test_losses.py \
		tests/training/test_engine.py tests/plugins -m "not slow and not long" $(PARALLEL)

fuzz: setup ## try thousands of damaged, odd and hostile inputs, and record the results; 25 minutes
	$(BIN)/python -m tests.fuzz --out benchmarks/results/fuzz.json
	$(BIN)/python benchmarks/report.py

format: setup ## format the code, and fix what ruff can fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: setup typecheck ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

typecheck: setup ## mypy
	$(BIN)/mypy $(TYPED)

cuda: setup ## compile the CUDA kernels for every target; needs nvcc, but no GPU
	$(BIN)/python .ci/cuda.py

stability: setup ## train GANs on problems with known answers, for some hours, and record what they learn
	$(BIN)/python benchmarks/stability/modes.py --steps 4000 --record
	$(BIN)/python benchmarks/stability/modes.py --steps 16000 --seeds 10 --loss relativistic --loss minimax --penalty r1+r2 \
		--problem "grid of 25" --record
	$(BIN)/python benchmarks/stability/scenes.py --record
	$(BIN)/python benchmarks/stability/rescue.py --record
	$(BIN)/python benchmarks/report.py

bench: setup ## the benchmarks
	$(BIN)/python -m pytest benchmarks -q --benchmark-columns=min,median,max,rounds
