# make demo    install, fetch the default weights, run examples/quickstart.py
# make test    install what is missing; make check (lint and types) and make fetch (weights) side by side; then the tests,
#              with two workers and one thread each: most tests are Python's work
# make bench   the speed and memory figures of benchmarks/README.md
# make train-demo  train the smallest base on 24 records: SFT, DPO, IPO, two rounds; under ten minutes on a CPU
# make weights     train FIPO's own adapters again from ../shared/data: five and a half hours in all; ROWS=16 for a trial
# make versions    the LangChain tests on the oldest langchain-core that is supported and on the newest, the DSPy tests
#                  on the oldest DSPy
# make docs    the documentation site, in site/; builds offline, and every warning and dead link is an error
# make dist    wheels and sdists in dist/, checked, and used in bare environments (PYTHONS="python3.11 python3.12")
# make gpu     tests and benchmarks marked for a GPU; says so where there is none
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test check fetch bench train-demo weights versions docs dist gpu clean

# pip would compile all bytecode on one core, which takes as long as installing. Python writes what is imported, also
# where it is told not to: else every process would compile it anew.
export PYTHONDONTWRITEBYTECODE :=
.venv/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: .venv/installed
	$(BIN)/fipo weights pull
	$(BIN)/python examples/quickstart.py

test: .venv/installed
	$(MAKE) --jobs=2 check fetch
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

check: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fetch: .venv/installed
	$(BIN)/fipo weights pull
	$(BIN)/fipo weights pull smollm2-135m

bench: fetch
	$(BIN)/python -m pytest benchmarks

# What each run leaves is in runs/; an interrupted demo resumes.
DEMO := --resume --set trainer.per_device_train_batch_size=4 --set trainer.gradient_accumulation_steps=1
train-demo: .venv/installed
	$(BIN)/fipo weights pull smollm2-135m
	$(BIN)/fipo data stats examples/pairs.jsonl
	$(BIN)/fipo train sft examples/recipes/sft.toml $(DEMO)
	$(BIN)/fipo train preference examples/recipes/dpo.toml $(DEMO)
	$(BIN)/fipo train preference examples/recipes/ipo.toml $(DEMO)
	$(BIN)/fipo train iterative examples/recipes/ipl.toml $(DEMO) --set rounds=2 --set max_new_tokens=48
	$(BIN)/fipo optimize --model runs/ipl "Tell me about photography techniques."

# ROWS=16 is a trial of every stage with so few rows, in runs/trial.
TRIAL := $(if $(ROWS),--rows $(ROWS))
RUNS := $(if $(ROWS),runs/trial,runs)
weights: fetch
	$(BIN)/python examples/small_weights.py ../shared/data $(RUNS)/small $(TRIAL)
	$(BIN)/python examples/rewriter_weights.py ../shared/data $(RUNS)/rewriter $(TRIAL)
	$(BIN)/python examples/larger_rewriter_weights.py ../shared/data $(RUNS)/larger-rewriter $(TRIAL)

# Each set is laid over the installed environment. No dependencies are installed but those named: those of the newest
# langchain-core cannot be met everywhere, and the oldest has fewer. gepa is the one that DSPy 3.2.1 asks for; this DSPy
# is slow (it lists the whole stack for every call of a module), and litellm shall not ask the network for prices.
CORE := tests/test_*langchain*.py
DSPY := tests/test_dspy*.py tests/test_examples_dspy.py
versions: .venv/installed
	set -e; export LITELLM_LOCAL_MODEL_COST_MAP=True; \
	under=$$($(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))"); \
	lay() { over=.venv/$$1; tests=$$2; shift 2; $(BIN)/python -m venv $$over; \
	echo $$under > $$($$over/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/under.pth; \
	$$over/bin/pip install --quiet --no-deps $$@; $$over/bin/python -m pytest -q $$tests; }; \
	lay core-1.3.3 "$(CORE)" langchain-core==1.3.3 langchain==1.2.18; \
	lay core-1.8.1 "$(CORE)" langchain-core==1.8.1 langchain==1.5.0; \
	lay dspy-3.2.1 "$(DSPY)" dspy==3.2.1 gepa==0.0.27 asyncer==0.0.8 typeguard==4.4.3

# CI makes an environment with the extra `docs` alone, and sets DOCS_ENVIRONMENT to nothing.
DOCS_ENVIRONMENT ?= .venv/installed
docs: $(DOCS_ENVIRONMENT)
	$(BIN)/mkdocs build --strict

PYTHONS ?= python3.11 python3.12 python3.13
dist: .venv/installed
	$(BIN)/python packages/dist.py $(PYTHONS)

gpu: .venv/installed
	@$(BIN)/python -c "import sys, torch; sys.exit(not torch.cuda.is_available())" \
		|| { echo "make gpu: torch sees no GPU on this machine, so there is nothing to run"; exit 1; }
	$(BIN)/python -m pytest -m gpu tests benchmarks

clean:
	rm -rf .venv site dist .benchmarks .hypothesis .mypy_cache .pytest_cache .ruff_cache
