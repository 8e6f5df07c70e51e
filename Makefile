PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# tinysoundfont is installed without its dependencies: pyaudio needs the headers of PortAudio and is only for live
# playback.
# The documentation imports the commands of the trainer.
EXTRA_docs := ,train

INSTALL = $(BIN)/pip install --quiet --constraint constraints.txt

.PHONY: help demo test lint check bench docs clean

help: ## show this list
	@grep -E '^[a-z]+:.*##' Makefile | sed 's/:.*## /\t/'

demo: $(VENV)/demo ## render, pre-train, evaluate; writes demo/report.html
	$(BIN)/python tools/demo.py

test: $(VENV)/test ## all tests
	$(BIN)/pytest -n auto --dist loadfile

lint: $(VENV)/test ## format, lint, types, import contracts
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/pyright
	$(BIN)/lint-imports

check: lint test ## all checks of a change

bench: $(VENV)/test ## time every family; writes docs/bench_families.json, about ten minutes
	$(BIN)/python tools/bench_families.py

docs: $(VENV)/docs ## build the documentation into site/
	$(BIN)/python tools/make_docs.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

$(VENV)/demo $(VENV)/test $(VENV)/docs: $(VENV)/%: pyproject.toml constraints.txt
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	@echo "installing synpat[$*] into $(VENV), about two minutes the first time"
	$(INSTALL) --editable ".[$*$(EXTRA_$*)]"
	$(INSTALL) --no-deps tinysoundfont
	@touch $@

clean: ## remove the files made by the commands above
	rm -rf $(VENV) demo site
