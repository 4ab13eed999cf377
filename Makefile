# Two commands: `make quickstart` and `make test`. Each sets up .venv by itself.
PYTHON ?= python3
# A machine without an NVIDIA GPU gets torch's small CPU build with
#   make quickstart TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=
# Processes that run the tests; each makes its own tiny quickstart.
WORKERS ?= 2
BIN := .venv/bin
READY := .venv/.ready
DEV := .venv/.ready-dev

.PHONY: quickstart journey test docs setup clean
quickstart: $(READY)
	$(BIN)/litgpt-zh quickstart $(ARGS)

journey: $(READY)
	$(BIN)/litgpt-zh journey $(ARGS)

test: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

docs: $(DEV)
	$(BIN)/mkdocs build --strict

setup: $(DEV)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 10) <= v < (3, 14) else "Python 3.10-3.13 is needed: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --upgrade pip
	$(if $(TORCH_INDEX),$(BIN)/python -m pip install -c constraints.txt --index-url $(TORCH_INDEX) torch,)
	$(BIN)/python -m pip install -c constraints.txt torch
	$(BIN)/python -m pip install -c constraints.txt -e .
	touch $@

$(DEV): $(READY)
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
