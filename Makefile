# The ways into this repository.  `make` alone lists them.
#
# Everything is installed into .venv, by itself, on first use; the stamps in it make the second use instant.
# Programs are started with `exec`, so that Ctrl-C and SIGTERM reach them and not a shell in between.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Twice quiet: errors only.
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt
# What only tests and linters import is compiled when it is imported.
PIP_TO_TEST := $(PIP) --no-compile
SOURCES_OF_INSTALL := pyproject.toml constraints.txt setup.py $(wildcard ramsterd/compiled/*.[ch])

# Handed to recipes as environment variables: a path may hold blanks and quotes.
export FROM CONFIG BASE

.PHONY: help demo run deb rpm image monitoring walkthrough test test-packages test-guest soak pressure kills simulate fuzz lint bench bench-compare bench-guest clean

help:  ## show this list
	@sed -n 's/^\([a-z-]*\):.*## */\1\t/p' $(MAKEFILE_LIST) | while IFS='	' read -r name text; do \
		printf '  make %-13s %s\n' "$$name" "$$text"; done

demo: $(VENV)/installed  ## a whole cluster on this machine: watch pages move (FROM=DIR: with your files)
	@exec $(BIN)/python -m ramsterd.demo $(if $(FROM),--from "$$FROM")

run: $(VENV)/installed  ## one daemon: make run CONFIG=/path/to/ramsterd.toml
	@if [ -z "$$CONFIG" ]; then \
		echo "usage: make run CONFIG=/path/to/ramsterd.toml (samples: config/samples)" >&2; exit 64; fi; \
	exec $(BIN)/ramsterd run --config "$$CONFIG"

deb: $(VENV)/installed  ## a Debian package for the Debian of this machine, in dist/
	@exec $(BIN)/python -m packages.deb dist

rpm: $(VENV)/installed  ## the same as an RPM package, for the Python and the C library of this machine, in dist/
	@exec $(BIN)/python -m packages.rpm dist

image: $(VENV)/installed  ## a container image, of the files of this machine's Debian, in dist/
	@exec $(BIN)/python -m packages.image.build dist

monitoring: $(VENV)/installed  ## rules of Prometheus and a dashboard of Grafana, into config/
	@exec $(BIN)/python -m packages.monitoring

walkthrough: $(VENV)/installed-test  ## what docs/walkthrough.md shows, from machines of namespaces (root, Debian)
	@sh tests/install-tools
	@exec $(BIN)/python -m tests.walkthrough --write

# Where Python keeps no bytecode, tests do (tests/conftest.py): that of what is imported before they say so is for the workers.
ifdef PYTHONDONTWRITEBYTECODE
KEEPING := env PYTHONDONTWRITEBYTECODE= PYTHONPYCACHEPREFIX="$$PWD/.pytest_cache/bytecode"
endif

# Meanwhile, as libraries come: what nearly all tests import.
COMPILED_FIRST := benchmarks config heartbeat net nodemanager packages ramsterd tests/fakes tests/helpers

# Without ARGS several at once (tests/conftest.py).
test: $(VENV)/installed-test  ## all tests but those of guests, and of releases: test-packages (ARGS='tests/unit/net -x': those; ARGS='-m "not slow"': the quick ones)
	@sh tests/install-tools
	@exec $(KEEPING) $(BIN)/python -m pytest $(or $(ARGS),-n auto --dist loadscope)

# A small Debian is made of the packages of the mirror first.
test-packages: $(VENV)/installed-test  ## both packages are installed, upgraded and removed in a Debian of its own, the image is run, a cluster is upgraded node by node, and the walkthrough is typed (root, Debian)
	@sh tests/install-tools
	@sh tests/install-tools packages
	@exec $(BIN)/python -m pytest -o faulthandler_timeout=0 --long -m long $(or $(ARGS),tests/packages tests/system tests/walkthrough)

# By hand one at a time, so that a stall that is over its bar is one of ours.
test-guest: $(VENV)/installed-test  ## a real kernel swaps to a cluster through faults, in QEMU (ALL=1: minutes more; RESTARTS=10)
	@sh tests/install-tools guest
	@exec $(BIN)/python -m pytest -o faulthandler_timeout=0 $(if $(CI),-n 2 --dist loadscope,--judge-stalls) $(if $(ALL),--long) $(or $(ARGS),tests/guest)

soak: $(VENV)/installed-test  ## eight clients, moving budgets, a checking oracle (MINUTES=3 SEED=N)
	@exec $(BIN)/python -m tests.soak --minutes $(or $(MINUTES),3) $(if $(SEED),--seed $(SEED))

pressure: $(VENV)/installed-test  ## the memory that a daemon takes while it serves swap (MINUTES=60)
	@sh tests/install-tools
	@exec $(BIN)/python -m tests.soak.pressure --minutes $(or $(MINUTES),5)

kills: $(VENV)/installed-test  ## daemons with kept memory are killed under checking clients (ARGS='--kills 50 --client qemu')
	@sh tests/install-tools
	@exec $(BIN)/python -m tests.soak.kills $(ARGS)

simulate: $(VENV)/installed-test  ## storms on a virtual clock, a line for each that fails (SEEDS=200, or SEED=N: its trace)
	@exec $(BIN)/python -m tests.simulation $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),200))

fuzz: $(VENV)/installed-fuzz  ## arbitrary bytes for every decoder (SECONDS=60 each, TARGET=name JOBS=1)
	@exec $(BIN)/python -m tests.fuzz $(TARGET) --seconds $(or $(SECONDS),60) --jobs $(or $(JOBS),1)

lint: $(VENV)/installed-lint  ## ruff, mypy, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/installed-test  ## measure, side by side with nbdkit and others (ARGS='--only nbd_local --rounds 5')
	@sh tests/install-tools
	@exec $(BIN)/python -m benchmarks $(ARGS)

bench-compare: $(VENV)/installed-test  ## the same of this code and of another revision, in turn (BASE=HEAD ARGS='--only nbd_local')
	@sh tests/install-tools
	@exec $(BIN)/python -m benchmarks.suite.compare "$${BASE:-HEAD}" $(ARGS)

# Each cell is kept as it ends, and the next call goes on.
bench-guest: $(VENV)/installed-plot  ## a guest builds and serves with too little memory, by what it swaps to (ROUNDS=1)
	@sh tests/install-tools guest
	@$(BIN)/python -m benchmarks.guest --out benchmarks/guest/figures.json --rounds $(or $(ROUNDS),1)
	@$(BIN)/python -m benchmarks.apps --out benchmarks/apps/figures.json --rounds $(or $(ROUNDS),1)
	@$(BIN)/python -m benchmarks.swap_plot
	@exec $(BIN)/python -m benchmarks.swap_page

clean:  ## remove .venv and all caches
	rm -rf $(VENV) build dist *.egg-info .coverage .coverage.* .hypothesis
	rm -f ramsterd/compiled/*.so
	rm -rf .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/made:
	@sh .ci/make-venv "$(PYTHON)" $(VENV)
	@touch $@

$(VENV)/installed: $(VENV)/made $(SOURCES_OF_INSTALL)
	@echo "installing ramster into $(VENV)" >&2
	@sh .ci/install-compiler $(BIN)/python
	@$(PIP) -e .
	@touch $@

$(VENV)/installed-test: $(VENV)/made $(SOURCES_OF_INSTALL)
	@echo "installing ramster and its test libraries into $(VENV)" >&2
	@sh .ci/install-compiler $(BIN)/python
	@$(KEEPING) $(BIN)/python -m compileall -q $(COMPILED_FIRST) & $(PIP_TO_TEST) -e '.[test]' && wait
	@touch $@ $(VENV)/installed

$(VENV)/installed-fuzz: $(VENV)/made $(SOURCES_OF_INSTALL)
	@echo "installing ramster, its test libraries and its fuzzing engine into $(VENV)" >&2
	@sh .ci/install-compiler $(BIN)/python
	@$(PIP_TO_TEST) -e '.[fuzz]'
	@touch $@ $(VENV)/installed $(VENV)/installed-test

# Benchmarks of guests are made of what the tests of guests are made of.
$(VENV)/installed-plot: $(VENV)/made $(SOURCES_OF_INSTALL)
	@echo "installing ramster, its test libraries and matplotlib into $(VENV)" >&2
	@sh .ci/install-compiler $(BIN)/python
	@$(PIP_TO_TEST) -e '.[test,plot]'
	@touch $@ $(VENV)/installed $(VENV)/installed-test

# The type checker reads the tests, so it needs their libraries too.
$(VENV)/installed-lint: $(VENV)/made $(SOURCES_OF_INSTALL)
	@echo "installing ramster, its test libraries and its checkers into $(VENV)" >&2
	@sh .ci/install-compiler $(BIN)/python
	@$(PIP_TO_TEST) -e '.[test,lint]'
	@touch $@ $(VENV)/installed $(VENV)/installed-test
