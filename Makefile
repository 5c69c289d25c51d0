# Every target sets up what it needs; a second run finds it done.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PARALLEL := --numprocesses 2 --dist loadfile --no-loadscope-reorder
INSTALLED := $(VENV)/installed

ifneq ($(shell command -v uv 2>/dev/null),)
CREATE := uv venv --quiet --seed $(VENV)
INSTALL := uv pip install --quiet --python $(BIN)/python
else
CREATE := $(PYTHON) -m venv $(VENV)
INSTALL := $(BIN)/python -m pip install --quiet
endif

BOUNDS := $(VENV)-bounds$(TORCH)
CORE_TESTS := $(wildcard tests/test_*.py) tests/_step tests/_double_backward
NOT_QUICK := $(patsubst %,tests/test_%.py,allocator compile imports memory on_gpu packaging shapes torch_private)
BOUNDED_TESTS := $(CORE_TESTS) tests/verification tests/diagnostics tests/networks tests/integrations

.NOTPARALLEL: # of a check the tests' summary is the last line
.PHONY: help demo smoke test quick lint types docs check lower-bounds clean

help:
	@grep -hE '^## ' $(MAKEFILE_LIST) | sed 's/^## //'

## make demo    train five small models on embedded photographs; a table and a picture
demo: $(INSTALLED)
	$(BIN)/python recipes/photos.py

## make test    run the test suite
test: $(INSTALLED)
	$(BIN)/python -m pytest $(PARALLEL)

## make quick   test what the core computes, in less than a minute
quick: $(INSTALLED)
	$(BIN)/python -m pytest $(PARALLEL) $(filter-out $(NOT_QUICK),$(CORE_TESTS)) tests/verification

## make smoke   run every recipe on small data, CIFAR-10's with every method, in some minutes
smoke: $(INSTALLED)
	$(BIN)/python -m tests.recipes.smoke

## make lint    check style and formatting
lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

## make types   check types
types: $(INSTALLED)
	$(BIN)/basedpyright

## make docs    build the documentation into site/
docs: $(INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

## make check   all of lint, types, docs, smoke and test, as continuous integration does
check: lint types docs smoke test

## make lower-bounds   run the tests of core and integrations with the lowest versions declared;
##                     TORCH=2.12.0 takes another torch
lower-bounds: $(BOUNDS)/installed
	$(BOUNDS)/bin/python -m pytest $(PARALLEL) -W ignore::DeprecationWarning \
		-W ignore::FutureWarning -W "ignore:The .grad attribute:UserWarning" \
		$(BOUNDED_TESTS) # warnings of old packages about older ones, and of torch about itself

$(BOUNDS)/installed: pyproject.toml tests/lower_bounds.py
	test -x $(BOUNDS)/bin/python || $(PYTHON) -m venv $(BOUNDS)
	$(PYTHON) tests/lower_bounds.py $(if $(TORCH),torch==$(TORCH)) > $(BOUNDS)/requirements.txt
	$(BOUNDS)/bin/python -m pip install --quiet --requirement $(BOUNDS)/requirements.txt
	$(BOUNDS)/bin/python -m pip install --quiet --no-deps --editable . "torchattacks>=3.5.1"
	touch $@

## make clean   remove the environment and everything built
clean:
	rm -rf $(VENV) $(VENV)-bounds* build dist site *.egg-info

# torchattacks pins requests to 2.25, which nothing else here can live with.
$(INSTALLED): pyproject.toml
	test -x $(BIN)/python || $(CREATE)
	$(INSTALL) --editable ".[dev]"
	$(INSTALL) --no-deps "torchattacks>=3.5.1"
	touch $@
