# Two commands do all the set-up: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test test-long lint types docs-check bench clean

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Hubferry needs Python 3.11 or later: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# One stamp a set of extras: the demo must not wait for what only the tests need.
$(VENV)/.ready-lab: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[lab]'
	@touch $@

$(VENV)/.ready-dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@ $(VENV)/.ready-lab

demo: $(VENV)/.ready-lab  ## Copy a model between the two hubs of the embedded lab
	@$(BIN)/hubferry demo

test: $(VENV)/.ready-dev  ## The tests, with reduced counts (real code paths)
	$(BIN)/python -m pytest -m "not long and not live and not alone" -rs -n 2 --dist loadfile
	$(BIN)/python -m pytest -m "alone and not long and not live" -rs

test-long: $(VENV)/.ready-dev  ## The tests with full counts; prints its figures
	$(BIN)/python -m pytest -m "long" -rP

lint: $(VENV)/.ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.ready-dev
	$(BIN)/mypy

# The peer pins what it likes and we pin what we like: it gets an environment of its own.
PEER_VENV := .venv-peer
PEER := hfms-bridge==0.5.1

$(PEER_VENV)/.ready: Makefile
	$(PYTHON) -m venv $(PEER_VENV)
	$(PEER_VENV)/bin/python -m pip install --quiet --disable-pip-version-check '$(PEER)'
	@touch $@

# `make bench QUICK=1` takes about 5 minutes with small sizes; `python -m bench.run --only S2` is
# one scenario. Needs nginx (Debian: apt-get install nginx-light), curl and openssl.
bench: $(VENV)/.ready-dev $(PEER_VENV)/.ready  ## Beside the alternatives; Linux, about 40 minutes
	$(BIN)/python -m bench.run $(if $(QUICK),--quick)

docs-check: $(VENV)/.ready-dev
	$(BIN)/python tools/i18n.py check

clean:
	rm -rf $(VENV) $(PEER_VENV) .mypy_cache .ruff_cache .pytest_cache
