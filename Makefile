# Two commands do everything on a fresh clone: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint clean

demo: $(VENV)/.base
	$(BIN)/ornstein demo --output build/demo

test: $(VENV)/.test
	$(BIN)/python -m pytest -n 2 --dist loadscope

lint: $(VENV)/.test
	$(BIN)/ruff check .

$(VENV)/.base: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/.test: $(VENV)/.base
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test,synth,study]'
	touch $@

clean:
	rm -rf $(VENV) build
