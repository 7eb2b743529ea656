# Developer's targets; `make` alone lists them. Everything is installed into .venv, nothing outside it except the
# test peers (Chromium, GStreamer, FFmpeg), which come from Debian's packages where this user may install them.

PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python
ENV    := $(VENV)/.stamp-env
PEERS  := $(VENV)/.stamp-peers
BUILT  := $(VENV)/.stamp-built
SOURCE := setup.py $(wildcard sfu_core/_*.pyx sfu_core/_*.pxd sfu/_*.pyx sfu_core/c/*.h sfu_core/c/*.c)

NATIVE := tests/unit/core tests/unit/sfu/test_load.py tests/media

.DEFAULT_GOAL := help
.PHONY: help setup build debug asan test unit conformance interop fault fuzz lint types wheel bench broadcast cores docs clean full ci

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(BUILT) $(PEERS) ## everything: environment, extensions, test peers

build: $(BUILT) ## compile the extensions in place

$(ENV): pyproject.toml scripts/setup.sh
	PYTHON=$(PYTHON) scripts/setup.sh $(VENV)
	@touch $@

$(BUILT): $(ENV) $(SOURCE)
	$(PY) setup.py -q build_ext --inplace
	@touch $@

$(PEERS): $(ENV) $(wildcard tests/interop/package-lock.json tests/interop/page/*.js examples/*/client/*.js)
	if tests/interop/setup.sh $(CURDIR)/$(PY); then touch $@; fi

test: setup ## all tests, with the peers they need
	$(PY) -m pytest

unit: build ## unit, media and rule tests
	$(PY) -m pytest tests/unit tests/media tests/rules

conformance: build ## mediasoup's behaviours, one file a class
	$(PY) -m pytest tests/conformance

interop: setup ## real calls: Chromium, aiortc, GStreamer
	$(PY) -m pytest tests/interop

fault: build ## kill, hang, flood, cut
	$(PY) -m pytest tests/fault

debug: $(ENV) ## tests of compiled code with bounds and invariant checks (build/debug)
	scripts/profile.sh debug $(NATIVE)

asan: $(ENV) ## the same and the fuzzers under address and undefined-behaviour sanitizers (build/asan)
	scripts/profile.sh asan $(NATIVE) tests/fuzz

fuzz: build ## fuzz every parser for FUZZ_SECONDS each (default 60)
	FUZZ_SECONDS=$${FUZZ_SECONDS:-60} $(PY) -m pytest tests/fuzz

lint: $(ENV) ## ruff
	$(VENV)/bin/ruff check .

types: $(ENV) ## mypy --strict
	$(VENV)/bin/mypy

wheel: $(BUILT) ## wheel and source archive, installed and used outside the checkout
	scripts/wheel_check.sh $(VENV)

bench: $(BUILT) ## how many packets per second per core does this machine forward
	$(PY) -m sfu bench --quick

broadcast: setup ## examples/broadcast: a test picture, 100 viewers, and the cores live (ARGS: its options)
	$(PY) -m examples.broadcast $(or $(ARGS),--viewers 100)

cores: build ## measure many cores and the ring (10 minutes), and write the tables of docs/
	$(PY) -m benchmarks.cores --json benchmarks/results/cores.json
	$(PY) -m benchmarks.ring --json benchmarks/results/ring.json
	$(PY) scripts/readme_table.py

docs: build ## the tests that read the documentation
	$(PY) -m pytest tests/rules -k docs

clean: ## remove everything built (the environment stays)
	rm -rf build dist wheelhouse *.egg-info sfu_core/_*.c sfu/_*.c sfu_core/_*.so sfu/_*.so $(BUILT)

ci: lint types wheel asan test ## what CI runs

full: ci debug ## everything, the long fault tests and the long fuzzing
	$(PY) -m pytest -m full
	FUZZ_SECONDS=600 $(PY) -m pytest tests/fuzz
	$(PY) -m sfu bench
