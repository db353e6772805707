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
	$(BIN)/python -m pytest -m "not long and not live" -rs

test-long: $(VENV)/.ready-dev  ## The tests with full counts; prints its figures
	$(BIN)/python -m pytest -m "long" -rP

lint: $(VENV)/.ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.ready-dev
	$(BIN)/mypy

bench: $(VENV)/.ready-dev  ## Side by side with the alternatives, on the lab; Linux, under 12 minutes
	$(BIN)/python -m bench.run

docs-check: $(VENV)/.ready-dev
	$(BIN)/python tools/i18n.py check

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
