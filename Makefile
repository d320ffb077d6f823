# make demo    install, fetch the default weights, run examples/quickstart.py
# make test    install what is missing; lint, types, tests
# make bench   the speed and memory figures of benchmarks/README.md
# make gpu     tests and benchmarks marked for a GPU; says so where there is none
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test bench gpu clean

.venv/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: .venv/installed
	$(BIN)/fipo weights pull
	$(BIN)/python examples/quickstart.py

test: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/fipo weights pull
	$(BIN)/python -m pytest

bench: .venv/installed
	$(BIN)/fipo weights pull
	$(BIN)/python -m pytest benchmarks

gpu: .venv/installed
	@$(BIN)/python -c "import sys, torch; sys.exit(not torch.cuda.is_available())" \
		|| { echo "make gpu: torch sees no GPU on this machine, so there is nothing to run"; exit 1; }
	$(BIN)/python -m pytest -m gpu tests benchmarks

clean:
	rm -rf .venv .benchmarks .hypothesis .mypy_cache .pytest_cache .ruff_cache
