# make demo    install, fetch the default weights, run examples/quickstart.py
# make test    install what is missing; lint, types, tests
# make bench   the speed and memory figures of benchmarks/README.md
# make train-demo  train the default weights on 24 records: SFT, DPO, IPO, two rounds; under ten minutes on a CPU
# make weights     train FIPO's own adapter again from ../shared/data; about an hour on two cores
# make versions    the LangChain tests on the oldest langchain-core that is supported and on the newest
# make gpu     tests and benchmarks marked for a GPU; says so where there is none
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test bench train-demo weights versions gpu clean

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

# What each run leaves is in runs/; a demo that was stopped goes on.
DEMO := --resume --set trainer.per_device_train_batch_size=4 --set trainer.gradient_accumulation_steps=1
train-demo: .venv/installed
	$(BIN)/fipo weights pull
	$(BIN)/fipo data stats examples/pairs.jsonl
	$(BIN)/fipo train sft examples/recipes/sft.toml $(DEMO)
	$(BIN)/fipo train preference examples/recipes/dpo.toml $(DEMO)
	$(BIN)/fipo train preference examples/recipes/ipo.toml $(DEMO)
	$(BIN)/fipo train iterative examples/recipes/ipl.toml $(DEMO) --set rounds=2 --set max_new_tokens=48
	$(BIN)/fipo optimize --model runs/ipl "Tell me about photography techniques."

weights: .venv/installed
	$(BIN)/fipo weights pull
	$(BIN)/python examples/default_weights.py ../shared/data runs/default

# Each pair is laid over the installed environment. No dependencies are installed: those of the newest cannot be met
# everywhere, and the oldest has fewer.
versions: .venv/installed
	set -e; for core in "1.3.3 1.2.18" "1.8.1 1.5.0"; do set -- $$core; over=.venv/core-$$1; \
	$(BIN)/python -m venv $$over; \
	under=$$($(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))"); \
	echo $$under > $$($$over/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/under.pth; \
	$$over/bin/pip install --quiet --no-deps langchain-core==$$1 langchain==$$2; \
	$$over/bin/python -m pytest -q tests/test_*langchain*.py; done

gpu: .venv/installed
	@$(BIN)/python -c "import sys, torch; sys.exit(not torch.cuda.is_available())" \
		|| { echo "make gpu: torch sees no GPU on this machine, so there is nothing to run"; exit 1; }
	$(BIN)/python -m pytest -m gpu tests benchmarks

clean:
	rm -rf .venv .benchmarks .hypothesis .mypy_cache .pytest_cache .ruff_cache
