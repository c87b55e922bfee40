# Everything starts here: `make demo` and `make test` set up what they need on a fresh machine.
# A virtual environment is made once, in .venv; `make clean` removes it.

PYTHON ?= python3
CONSTRAINTS ?= -c constraints.txt
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# Tests run side by side, one thread each; more threads would only wait for each other.
WORKERS ?= 2
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

.PHONY: demo test test-slow check format bench clean

demo: .venv/.installed  ## run the demo study on embedded data and write its report
	$(BIN)/bakeoff run demo
	@echo "Open studies/demo/report.html in a browser."

test: .venv/.test  ## all tests but the slow ones
	$(PYTEST) -m "not slow"

test-slow: .venv/.test  ## the tests that take longer than the checks may
	$(PYTEST) -m slow

check: .venv/.check  ## lint, format, types, layers, docstrings
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pydoclint --quiet src/bakeoff

format: .venv/.check  ## put the code into its form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/.installed .venv-keras/.installed  ## the claims of benchmarks/README.md, measured again
	$(BIN)/python -m benchmarks.training --peer .venv-keras/bin/python
	$(BIN)/python -m benchmarks.pipeline --turns 8
	$(BIN)/python -m benchmarks.startup
	$(BIN)/bakeoff run classic --task "10 classes" --only mobilenet --seed 0
	$(BIN)/python -m benchmarks.finetune --base studies/classic/runs/10-classes/mobilenet/seed-0 \
	  --peer .venv-keras/bin/python

clean:  ## remove the environments; studies stay
	rm -rf .venv .venv-keras

.venv/bin/python:
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'bakeoff needs Python 3.11 or later, this is ' + sys.version.split()[0] + '; try make PYTHON=python3.11')"
	$(PYTHON) -m venv .venv

.venv/.installed: .venv/bin/python pyproject.toml constraints.txt
	@echo "Installing bakeoff and PyTorch into .venv (a few minutes at most) ..."
	$(PIP) $(CONSTRAINTS) -e .
	@touch $@

.venv/.test: .venv/.installed
	$(PIP) $(CONSTRAINTS) -e ".[test]"
	@touch $@

.venv/.check: .venv/.test
	$(PIP) $(CONSTRAINTS) -e ".[test,check]"
	@touch $@

.venv-keras/.installed: benchmarks/keras-requirements.txt
	$(PYTHON) -m venv .venv-keras
	.venv-keras/bin/python -m pip install --quiet -r benchmarks/keras-requirements.txt
	@touch $@
