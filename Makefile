# Everything here makes its virtual environment by itself. `make help` lists the targets.

SHELL := /bin/sh
.SUFFIXES:
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
VENV_PROTOS := .venv-protos

# The newest Python that really runs: pyenv leaves names on PATH that only print an error.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	if $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then echo $$p; break; fi; done)

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: protos
protos: $(VENV_PROTOS)/.installed ## Generate the Python code of the protos, with the pinned generators
	PATH="$(CURDIR)/$(VENV_PROTOS)/bin:$$PATH" $(VENV_PROTOS)/bin/python protos/generate.py

$(VENV_PROTOS)/.installed: protos/requirements.txt
	@test -n "$(PYTHON)" || { echo "Moorage needs Python 3.11 or later; none was found on PATH." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV_PROTOS)
	$(VENV_PROTOS)/bin/python -m pip install --quiet --requirement protos/requirements.txt
	touch $@
