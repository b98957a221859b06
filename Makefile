# Everything a developer or a visitor does, with python3 (3.11 or newer) and make alone.
# `make` lists the targets. Another interpreter: make PYTHON=python3.13; another place: make VENV=/path.

PYTHON := python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check
# Test processes. Two are the fastest on two cores and still kind to a laptop.
JOBS   := 2
# More for pytest: make test ARGS="-k registry -x"
ARGS   :=

# Command and package, where they differ.
SERVERS := docker-registry umoci skopeo podman mariadbd:mariadb-server pg_ctlcluster:postgresql redis-server
# Holds requests and answers against the API descriptions in CONTRACTS; it needs node and npm.
PRISM := $(abspath $(VENV))/prism/node_modules/.bin/prism
# A build system of its own: what it needs would not agree with what we pin.
BUILDBOT := $(abspath $(VENV))/buildbot/bin/buildbot

# Parts for speed: a change builds them again.
COMPILED := $(wildcard detectors/*/*.c models/*.c)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo setup test test-servers missing-servers soak lint types bench docs wheel clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "  %-14s %s\n", $$1, $$2 }'

demo: $(VENV)/.demo-installed  ## crawl a small organisation that lives on this machine only
	$(BIN)/unsprawl demo

setup: $(VENV)/.dev-installed  ## create .venv with everything development needs

test: $(VENV)/.dev-installed  ## the tests that need nothing but Python packages
	$(BIN)/pytest -n $(JOBS) --dist worksteal $(ARGS)

test-servers: $(VENV)/.dev-installed $(BUILDBOT) $(if $(CONTRACTS),$(PRISM))  ## real servers from Debian; with CONTRACTS=DIR official API descriptions too
	@missing=$$($(MAKE) --no-print-directory missing-servers); if [ -n "$$missing" ]; then \
	  echo "missing: $$missing" >&2; \
	  echo "install them with: apt-get install --no-install-recommends $$missing" >&2; \
	  exit 2; \
	fi
	BUILDBOT=$(BUILDBOT) PRISM=$(PRISM) $(BIN)/pytest -m "servers$(if $(CONTRACTS), or contracts)" $(ARGS)

missing-servers:  # packages of Debian that test-servers needs and that are not there
	@for tool in $(SERVERS); do PATH=$$PATH:/usr/sbin command -v $${tool%:*} >/dev/null || printf '%s ' $${tool#*:}; done

soak: $(VENV)/.dev-installed  ## the tests that take long: an hour of fuzzing (FUZZ_SECONDS), an hour of watch (WATCH_SECONDS), ten thousand bombs, 20 GB of layers (SOAK_GIGABYTES), a sweep over 2 GB (SWEEP_GIGABYTES)
	$(BIN)/pytest -m soak -o faulthandler_timeout=0 $(ARGS)

lint: $(VENV)/.dev-installed  ## style, and the import layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo

types: $(VENV)/.dev-installed  ## mypy, strict, on the package, the tests and the benchmarks
	$(BIN)/mypy
	$(BIN)/mypy docs/generate.py docs/examples.py

bench: $(VENV)/.dev-installed  ## compare with kingfisher on generated corpora (ARGS="--quick")
	$(BIN)/python -m benchmarks $(ARGS)

docs: $(VENV)/.dev-installed  ## write the generated pages, schemas and examples again
	$(BIN)/python docs/generate.py
	$(BIN)/python docs/examples.py

wheel: $(VENV)/.dev-installed  ## build the source distribution and the wheel into dist/
	rm -rf dist build
	$(BIN)/python -m build --no-isolation

clean:  ## remove what the targets above made
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- the virtual environment ----------------------------------------------------------------------
# The stamps make a second call install nothing; a change of the dependencies makes it install again.

$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "unsprawl needs Python 3.11 or newer; choose one with: make PYTHON=python3.13 $(MAKECMDGOALS)" >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "this Python cannot make virtual environments; on Debian: apt-get install python3-venv" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(PRISM):
	npm install --prefix $(VENV)/prism --no-audit --no-fund --silent @stoplight/prism-cli@5.16.0 @octokit/openapi@23.0.2

$(BUILDBOT): $(VENV)/pyvenv.cfg
	$(PYTHON) -m venv $(VENV)/buildbot
	$(VENV)/buildbot/bin/python -m pip --disable-pip-version-check install --quiet 'buildbot[bundle]==4.3.0' buildbot-worker==4.3.0 setuptools

$(VENV)/.demo-installed: $(VENV)/pyvenv.cfg pyproject.toml constraints.txt $(COMPILED)
	$(PIP) install --quiet -c constraints.txt -e '.[demo]'
	@touch $@

$(VENV)/.dev-installed: $(VENV)/pyvenv.cfg pyproject.toml constraints.txt $(COMPILED)
	$(PIP) install --quiet -c constraints.txt -e '.[demo,dev]'
	@touch $@ $(VENV)/.demo-installed
