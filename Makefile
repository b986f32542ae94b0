# `make demo` and `make test` do all the set-up they need; a second call reinstalls nothing.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
SAY_SIZE = @echo "installed in $(VENV): $$(du -sh $(VENV) | cut -f1)"

# Where it is set, each of the many processes of the tests compiles the package anew.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo install test slow lint docs bench compiled reproduce clean

demo: $(VENV)/.installed
	$(BIN)/afl-sim run quickstart --plot

install: $(VENV)/.installed

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

slow: $(VENV)/.installed-test
	$(BIN)/python -m pytest -m slow

lint: $(VENV)/.installed-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/.installed-docs
	$(BIN)/python docs/build_site.py

bench: $(VENV)/.installed-test
	$(BIN)/python tests/benchmarks/bench.py

# A wheel with compiled schedules, in dist/. It needs a C compiler.
compiled: $(VENV)/.installed-test
	AFL_SIM_COMPILE=2 $(BIN)/python -m build --wheel --no-isolation

reproduce: $(VENV)/.installed
	$(BIN)/afl-sim reproduce --all --workers auto

clean:
	rm -rf $(VENV)

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "afl_sim needs Python >= 3.11")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) -e .
	$(SAY_SIZE)
	touch $@

$(VENV)/.installed-test: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) -e '.[test,ray]'
	$(SAY_SIZE)
	touch $@ $(VENV)/.installed

$(VENV)/.installed-docs: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) -e '.[docs]'
	$(SAY_SIZE)
	touch $@ $(VENV)/.installed
