# make demo   sets everything up and runs the main job, offline
# make test   sets everything up and runs the tests; they wait more than they compute, so there are more workers than processors
# Everything lives in .venv/ and in the user's cache; both commands are safe to repeat.

.PHONY: demo test soak red-team lint types check bench system engine clean
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv

demo: system $(VENV)/.core
	@$(BIN)/workbench environments build python-min python-ds >/dev/null
	@$(BIN)/workbench demo

test: system engine $(VENV)/.dev
	@$(BIN)/workbench environments build python-min python-ds >/dev/null
	$(BIN)/pytest -n 3 --dist worksteal $(ARGS)

# What takes minutes: many kernels at once and one after the other, and what stays of them.
soak: system $(VENV)/.dev
	@$(BIN)/workbench environments build python-ds >/dev/null
	$(BIN)/pytest -n 2 -m soak $(ARGS)

# Every hostile program on every backend, as this user and, where this is root, as an ordinary one; then the page about it.
red-team: system engine $(VENV)/.dev
	@$(BIN)/workbench environments build python-min >/dev/null
	@rm -f build/red_team.json
	-$(BIN)/python -m tests.kernels.red_team try build/red_team.json
	-if [ "$$(id -u)" = 0 ]; then .ci/as-user python -m tests.kernels.red_team try build/red_team.json; fi
	$(BIN)/python -m tests.kernels.red_team publish build/red_team.json

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(VENV)/.dev
	$(BIN)/mypy

check: test soak lint types

bench: $(VENV)/.core
	@$(BIN)/workbench environments build python-ds >/dev/null
	$(BIN)/workbench bench kernels --write docs/performance.md $(ARGS)

# What only the system's package manager can give. Without the rights to ask it, say what is missing and go on:
# workbench doctor tells what protection is left, and a machine with none is refused at run time.
system:
	@sh .ci/system bubblewrap:bwrap

# The tests of the Docker sandbox start an engine of their own; without one they say loudly that they did not run.
engine:
	@sh .ci/system docker.io:dockerd

$(BIN)/python:
	@sh .ci/venv $(VENV)

$(VENV)/.core: $(BIN)/python pyproject.toml
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv>=0.5,<1"
	@$(UV) pip install --quiet --python $(BIN)/python --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.core
	@$(UV) pip install --quiet --python $(BIN)/python --editable ".[dev]"
	@touch $@

clean:
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
