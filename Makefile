# Two commands: `make demo` shows what the program does, `make test` proves it. Both set everything up first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The Azure server of the tests, where there is npm; without it those tests say why they are skipped.
AZURITE := 3.35.0
# One thread per process: the tests run side by side, and threads that spin fight each other.
TEST_ENV := OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE

.PHONY: setup demo check test unit lowest readers simulate dist clean

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt torch==2.13.0
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	$(BIN)/pip install --quiet --no-deps trackeval==1.3.0  # without OpenCV, which only its own F needs
	@if command -v npm >/dev/null; then npm install --prefix $(VENV)/azurite --no-fund --no-audit --silent azurite@$(AZURITE); fi
	touch $@

demo: setup
	$(BIN)/samurai-batch demo --output demo

# Types are checked as every Python that is promised sees them, two at a time.
PYTHONS := 3.11 3.12 3.13 3.14
check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	printf '%s\n' $(PYTHONS) | xargs -n 1 -P 2 $(BIN)/mypy --python-version

unit: setup
	$(TEST_ENV) $(BIN)/pytest -n 2 -m "not slow and not ray and not server"

# The unit tests on the lowest versions that pyproject.toml allows of what the package needs.
LOWEST := .venv-lowest
lowest:
	$(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/pip install --quiet uv  # finds in seconds what pip looks for in minutes
	$(PYTHON) -m tests.lowest > $(LOWEST)/constraints.txt
	$(LOWEST)/bin/pip install --quiet --constraint $(LOWEST)/constraints.txt "$$(grep '^torch==' $(LOWEST)/constraints.txt)"
	VIRTUAL_ENV=$(LOWEST) $(LOWEST)/bin/uv pip install --quiet --constraint $(LOWEST)/constraints.txt --editable '.[dev]'
	$(LOWEST)/bin/pip install --quiet --no-deps trackeval==1.3.0
	$(TEST_ENV) $(LOWEST)/bin/pytest -p no:anyio -n 2 -m "not slow and not ray and not server"

# What other tools read, by their own libraries: these want versions that the project does not, so they have a venv of their own.
READERS := .venv-readers
readers:
	$(PYTHON) -m venv $(READERS)
	$(READERS)/bin/pip install --quiet --constraint constraints.txt torch==2.13.0 uv
	VIRTUAL_ENV=$(READERS) $(READERS)/bin/uv pip install --quiet --editable '.[dev]' datumaro==1.13.12 label-studio-sdk==2.0.19 fiftyone==1.22.0 'graphql-core<3.3'
	$(TEST_ENV) $(READERS)/bin/pytest tests/exports

# One more process than the two cores of a small machine: the one that tests on Ray often waits.
WORKERS := 3
test: check
	$(TEST_ENV) $(BIN)/pytest -n $(WORKERS) --dist loadgroup

# The driver in many simulated scenarios; `make simulate SEED=7` replays one of them and prints all its events;
# `make simulate CAPACITY=1000x100000` runs the scheduler over so many replicas and tracks.
SEEDS := 10000
simulate: setup
	$(TEST_ENV) $(BIN)/python -m tests.simulation $(if $(CAPACITY),--capacity $(CAPACITY),$(if $(SEED),--seed $(SEED),--seeds $(SEEDS)))

# Builds the sdist and, from it, the wheel; checks their contents; runs the demo from the wheel in an empty environment.
dist: setup
	rm -rf dist
	$(BIN)/python -m build --quiet
	$(BIN)/twine check --strict dist/*
	$(BIN)/python -m tests.project.check_dist dist

clean:
	rm -rf $(VENV) $(LOWEST) $(READERS) demo dist
