# Every target sets up .venv first if need be: the locked requirements, then kdnotes itself.
PYTHON ?= python3
PROFILE ?=
CHAPTERS ?=
ARGS ?=
BIN := .venv/bin
READY := .venv/.ready

.PHONY: help run test lab bench setup clean
.DEFAULT_GOAL := help

help:
	@echo 'make run [PROFILE=smoke|lesson|full] [CHAPTERS="1 3"]   execute the course; pages in runs/index.html'
	@echo 'make test                                               run all tests (ARGS=-n0: in one process)'
	@echo 'make lab                                                JupyterLab on the notebooks, this computer only'
	@echo 'make bench                                              measure the speed of training'
	@echo 'make setup                                              only make the environment, .venv'
	@echo 'make clean                                              remove .venv, runs and build files'
	@echo 'PYTHON=python3.12 chooses the Python for .venv (3.11 or later); ARGS=... is passed on'

run: $(READY)
	$(BIN)/kdnotes run $(CHAPTERS) $(if $(PROFILE),--profile $(PROFILE)) $(ARGS)

test: $(READY)
	$(BIN)/python -m pytest --numprocesses=auto --maxprocesses=4 --dist=loadfile $(ARGS)

lab: $(READY)
	$(BIN)/kdnotes lab $(ARGS)

bench: $(READY)
	$(BIN)/kdnotes bench $(ARGS)

setup: $(READY)

$(READY): requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo 'Python 3.11 or later is needed, but there is no $(PYTHON): set PYTHON=...' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or later is needed; $(PYTHON) is $$($(PYTHON) -V 2>&1): set PYTHON=..." >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

clean:
	rm -rf .venv runs build *.egg-info .pytest_cache .ruff_cache .hypothesis
