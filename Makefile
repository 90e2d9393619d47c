# make demo | test | check | docs | bench | soak | soundness | dist     everything happens in .venv (beside it .venv-small and
# build/ of test-small, .venv-floors of test-floors, .venv-peer of bench, and dist/); nothing else is touched
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
SMALL := .venv-small
FLOORS := .venv-floors
SMALL_PIP := $(SMALL)/bin/python -m pip install --quiet --no-compile
# A file of tests at a time, the longest first (tests/conftest.py), in one process more than there are cores, for tests wait
# a fifth of their time for browsers, files and commands; one thread each: networks that share cores stall each other
WORKERS := $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
SPREAD := -n $(WORKERS) --dist loadfile --no-loadscope-reorder
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(SPREAD)

.PHONY: demo test test-all test-browser faults test-small test-floors check format docs dist bench soak soundness clean

# The embedded study: no download, about three minutes on two CPU cores after installation
demo: $(INSTALLED)
	@test -f runs/demo.toml || $(BIN)/failmodes init digits --output runs/demo.toml
	$(BIN)/failmodes run runs/demo.toml

# What tells most for its time; what is marked slow, and all of tests/faults, is left to test-all
test: $(INSTALLED)
	$(PYTEST)

# Slow tests too, those in a browser, and those on real data where FAILMODES_DATA names it
test-all: $(INSTALLED)
	$(PYTEST) -m "not gpu and not corpus"

# Reports and the explorer in the system's Chromium, or in the one that FAILMODES_CHROMIUM names, on every screen
test-browser: $(INSTALLED)
	$(PYTEST) -m "browser and (corpus or not slow)" tests/browser

# All of the corpus: hostile files, statements, streams and limits, about an hour on two cores; and the rest of what
# test-all runs the hardest part of, such as twenty kills where it has five
faults: $(INSTALLED)
	$(PYTEST) -m "not gpu" tests/faults
	$(PYTEST) -m corpus --ignore tests/faults

# As published, without PyTorch: beside Hugging Face's packages, one of which is called evaluate, installed before and
# after ours; then tests from the unpacked source distribution. That all of them are collected imports every module of
# those who read. Those that run are of what the environment can change: commands, the public names, files that the
# wheel has to hold (SQL, templates, scripts), extras that are missing. What computes, draws or parses does the same with
# the same libraries in test-all
WITHOUT_TORCH := tests/test_*.py tests/end_to_end tests/evaluate tests/ingest/test_*.py tests/warehouse/test_*.py \
	tests/sql/test_checks.py tests/analysis/test_*.py tests/analysis/explorer tests/analysis/publishing \
	tests/analysis/report tests/analysis/gate/test_command.py

test-small: dist
	rm -rf $(SMALL)
	$(PYTHON) -m venv $(SMALL)
	$(SMALL_PIP) --upgrade pip
	$(SMALL_PIP) datasets evaluate
	$(SMALL_PIP) "$$(echo dist/*.whl)[test]"
	$(SMALL_PIP) --no-deps corrupt-tta
	$(SMALL)/bin/python .ci/beside_hugging_face.py
	$(SMALL_PIP) --force-reinstall --no-deps datasets evaluate
	$(SMALL)/bin/python .ci/beside_hugging_face.py
	rm -rf build && mkdir build && tar -xzf dist/*.tar.gz -C build
	cd build/failmodes-* && ../../$(SMALL)/bin/pytest --collect-only -qq > collected || { cat collected; exit 1; }
	cd build/failmodes-* && OMP_NUM_THREADS=1 ../../$(SMALL)/bin/pytest $(SPREAD) $(WITHOUT_TORCH)

# The oldest versions that pyproject.toml allows, in an environment of their own, of the oldest Python: what libraries
# compute, draw and print. Then the warehouse between that DuckDB, Harlequin (2 asks for newer libraries) and today's DuckDB
AT_FLOORS := tests/sql tests/warehouse tests/analysis/charts tests/analysis/report tests/analysis/publishing \
	tests/analysis/test_*.py tests/test_cli.py tests/test_manners.py tests/test_status.py

test-floors: $(INSTALLED)
	test -x $(FLOORS)/bin/python || $(PYTHON) -m venv $(FLOORS)
	$(PYTHON) .ci/floors.py > $(FLOORS)/floors.txt
	$(FLOORS)/bin/python -m pip install --quiet --no-compile --constraint $(FLOORS)/floors.txt --editable ".[test]" "harlequin<2"
	OMP_NUM_THREADS=1 $(FLOORS)/bin/python -m pytest $(SPREAD) $(AT_FLOORS)
	FAILMODES_FLOORS=$(FLOORS)/bin/python $(PYTEST) tests/end_to_end/test_older_duckdb.py

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/sqlfluff lint failmodes/sql

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The handbook, from docs/ and the code, to build/handbook/index.html: opens offline, every link checked; about 20 s
docs: $(INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict --config-file .handbook/mkdocs.yml
	@echo build/handbook/index.html

# The source distribution, the wheel made from it, and whether a package index would take them
dist: $(INSTALLED)
	rm -rf dist
	$(BIN)/python -m build --outdir dist .
	$(BIN)/twine check --strict dist/*

# Ratios to a peer or a limit of the same run; JSON=path writes them as a list too, ONLY=networks measures one part
bench: $(INSTALLED)
	$(BIN)/python -m tests.benchmarks $(if $(JSON),--json $(JSON)) $(if $(ONLY),--only $(ONLY))

# Kills, full disks, limits, two processes, clocks and signals, compared by hash; ONLY=kills KILLS=20 SEED=1 JSON=path
soak: $(INSTALLED)
	$(BIN)/python -m tests.faults $(if $(JSON),--json $(JSON)) $(if $(ONLY),--only $(ONLY)) \
		$(if $(KILLS),--kills $(KILLS)) $(if $(SEED),--seed $(SEED))

# How often each sentence is false and each interval holds, on simulated data; ONLY=shape SEED=1 JSON=path QUICK=1.
# A whole run of seed 0, about half an hour on two cores, writes docs/soundness.md
soundness: $(INSTALLED)
	$(BIN)/python -m tests.soundness $(if $(JSON),--json $(JSON)) $(if $(ONLY),--only "$(ONLY)") \
		$(if $(SEED),--seed $(SEED)) $(if $(QUICK),--quick) $(if $(ONLY)$(SEED)$(QUICK),,--markdown docs/soundness.md)

$(INSTALLED): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	$(BIN)/python -m pip install --quiet --no-deps corrupt-tta  # only for the photographs of frost that it ships
	touch $@

clean:
	rm -rf $(VENV) $(SMALL) $(FLOORS) .venv-peer build dist runs/digits runs/demo.toml
