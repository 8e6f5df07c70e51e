PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# tinysoundfont comes without its dependencies: it asks for pyaudio, which builds against PortAudio's headers and
# serves live playback alone.
INSTALL = $(BIN)/pip install --quiet --constraint constraints.txt

.PHONY: help demo test lint check bench clean

help: ## this list
	@grep -E '^[a-z]+:.*##' Makefile | sed 's/:.*## /\t/'

demo: $(VENV)/demo ## from nothing to demo/report.html: render, pre-train, evaluate
	$(BIN)/python tools/demo.py

test: $(VENV)/test ## all tests
	$(BIN)/pytest

lint: $(VENV)/test ## format, lint, types, import contracts
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/pyright
	$(BIN)/lint-imports

check: lint test ## everything that must be green before a change lands

bench: $(VENV)/test ## time every family, into docs/bench_families.json; about ten minutes
	$(BIN)/python tools/bench_families.py

$(VENV)/demo $(VENV)/test: $(VENV)/%: pyproject.toml constraints.txt
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	@echo "installing synpat[$*] into $(VENV), about two minutes the first time"
	$(INSTALL) --editable ".[$*]"
	$(INSTALL) --no-deps tinysoundfont
	@touch $@

clean: ## remove what the commands above made
	rm -rf $(VENV) demo
