# SPDX-License-Identifier: Apache-2.0
# Two commands do everything on a fresh clone: `make demo` and `make test`. The others are for
# contributors; CONTRIBUTING.md says when to use which.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OPTIONS := # more options for pytest
PYTEST = $(BIN)/python -m pytest -n 2 --dist loadscope $(OPTIONS)
# said by an older Python too, and by the one of an environment that an older Python made
RECENT := import sys; sys.exit(sys.version_info < (3, 11) and "Ornstein needs Python 3.11 or later, \
this is %d.%d; name another one: make demo PYTHON=python3.12" % sys.version_info[:2])
INSTALL := $(BIN)/python -m pip install --quiet --constraint constraints.txt --editable

# What `make test-fast` leaves out: whatever builds a simulator, a netlist or a program for each of
# many recipes, and the longest simulations in Python. What stays tests the gateware's components in
# Amaranth's own simulator, the integer model, the compiler, and the physics.
SLOW := tests/boards tests/cosim tests/distribution tests/docs tests/host/cli \
    tests/host/experiments tests/host/learn/test_learner.py tests/hdl/formal \
    $(addprefix tests/hdl/test_, \
        bridge.py memory.py rate.py scrubber.py sequencer.py sums.py targets.py update.py \
        usb.py usb_judges.py usb_wires.py) \
    $(addprefix tests/sim/test_, cells_ecp5.py rtl.py verilated.py) \
    $(addprefix tests/host/devices/test_, \
        comparison.py conformance.py device.py doctor.py equality.py golden.py job_run.py \
        selftest.py serial.py soak.py upsets.py verify.py)

.PHONY: demo test test-fast coverage format lint types docs picture hooks clean

demo: $(VENV)/.base
	$(BIN)/ornstein demo --output build/demo

test: $(VENV)/.test
	$(PYTEST)

test-fast: $(VENV)/.test
	$(PYTEST) $(SLOW:%=--ignore=%)

# the whole suite, with the branch coverage of host and sim; tests of the gateware alone add nothing
coverage: $(VENV)/.test
	$(PYTEST) --cov --cov-report=term --cov-report=html:build/coverage

format: $(VENV)/.lint
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lint: $(VENV)/.lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell

# The editable installation maps five folders to one package by code that no type checker can run,
# so that it is given the same mapping as links.
types: $(VENV)/.lint $(VENV)/.test
	mkdir -p build/types/ornstein
	for layer in hdl sim boards host; do ln -sfn ../../../$$layer build/types/ornstein/$$layer; done
	ln -sf ../../../ornstein/__init__.py build/types/ornstein/__init__.py
	$(BIN)/basedpyright

# the notebooks of the examples run too, as Jupyter runs them
docs: $(VENV)/.docs
	$(BIN)/sphinx-build --fail-on-warning --keep-going --fresh-env docs build/docs
	$(BIN)/jupyter execute docs/generated/examples/*.ipynb

# the README's picture; the integer model decodes as the gateware does, in less time
picture: $(VENV)/.base
	$(BIN)/ornstein denoise --benchmark --output build/denoise
	cp build/denoise/figures/denoised.png docs/images/denoised.png

hooks: $(VENV)/.lint
	$(BIN)/pre-commit install

$(VENV)/.base: pyproject.toml constraints.txt
	@$(BIN)/python -c '$(RECENT)' 2>/dev/null || $(PYTHON) -c '$(RECENT)'
	@$(BIN)/python -c '$(RECENT)' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV)
	$(INSTALL) .
	touch $@

$(VENV)/.test: $(VENV)/.base
	$(INSTALL) '.[test,cosim,synth,study,watch]'
	touch $@

$(VENV)/.lint: $(VENV)/.base
	$(INSTALL) '.[lint]'
	touch $@

$(VENV)/.docs: $(VENV)/.base
	$(INSTALL) '.[docs]'
	touch $@

# PyTorch, ONNX and ncnn, for `ornstein train`, `ornstein capture` and the tests of them, and the
# peers of `ornstein bench`
$(VENV)/.train: $(VENV)/.test
	$(INSTALL) '.[train,onnx,ncnn,bench]'
	touch $@

clean:
	rm -rf $(VENV) build
