# Everything here makes its virtual environment by itself. `make help` lists the targets.

SHELL := /bin/sh
.SUFFIXES:
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
VENV_PROTOS := .venv-protos
VENV_UV := .venv-uv

# A Python that really runs and is new enough: pyenv leaves names on PATH that only print an error.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	if $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then echo $$p; break; fi; done)

# Flags of targets: ONCE=1 and MODEL=hf:… for quickstart, NAME=… for bench, ARGS=… for test, bench and images.
ONCE ?=
MODEL ?=
NAME ?=
ARGS ?=

# What builds images, and what they are called: IMAGES/moorage-SERVICE:TAG.
DOCKER ?= $(shell command -v docker || command -v podman)
IMAGES ?= localhost
TAG ?= latest

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: quickstart
quickstart: $(VENV)/.installed ## Run a whole mesh here, deploy a model on it and ask it something (ONCE=1, MODEL=hf:…)
	$(BIN)/moor quickstart $(if $(ONCE),--once) $(if $(MODEL),--model '$(MODEL)')

.PHONY: up
up: $(VENV)/.installed ## Run a whole mesh on this machine until Ctrl-C
	$(BIN)/moor up

.PHONY: test
test: $(VENV)/.installed ## Run all tests (ARGS=… go to pytest)
	$(BIN)/python -m pytest $(ARGS)

.PHONY: lint
lint: $(VENV)/.installed protos-check ## Check style, types, imports and protos
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy services
	$(BIN)/lint-imports --no-cache
	cd protos && ../$(BIN)/buf lint

.PHONY: bench
bench: $(VENV)/.installed ## Measure something: NAME=deploy (ARGS=… go to the benchmark)
	$(BIN)/python bench/run.py $(NAME) $(ARGS)

.PHONY: images
images: ## Build the services' images with docker or podman (IMAGES=…, TAG=…, ARGS=… go to the builder)
	@test -n "$(DOCKER)" || { echo "Images need docker or podman; neither was found on PATH." >&2; exit 1; }
	for service in registry scheduler downloader agent; do \
		$(DOCKER) build $(if $(findstring podman,$(DOCKER)),--format docker) --file deploy/Containerfile \
			--target $$service --tag $(IMAGES)/moorage-$$service:$(TAG) \
			--label org.opencontainers.image.version=$$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml) \
			--label org.opencontainers.image.revision=$$(git rev-parse HEAD || echo unknown) $(ARGS) . || exit 1; \
	done

.PHONY: protos
protos: $(VENV_PROTOS)/.installed ## Generate the protos' Python code, with the pinned generators
	PATH="$(CURDIR)/$(VENV_PROTOS)/bin:$$PATH" $(VENV_PROTOS)/bin/python protos/generate.py

.PHONY: protos-check
protos-check: $(VENV_PROTOS)/.installed ## Check that the generated code is what the protos say
	PATH="$(CURDIR)/$(VENV_PROTOS)/bin:$$PATH" $(VENV_PROTOS)/bin/python protos/generate.py --check

.PHONY: baseline
baseline: $(VENV)/.installed ## Make the protos as they are what later ones must be compatible with (at a release)
	cd protos && ../$(BIN)/buf build --path moorage --exclude-source-info -o baseline.binpb

.PHONY: constraints
constraints: ## Move constraints.txt to the newest releases that pyproject.toml allows
	test -x $(VENV_UV)/bin/uv || { $(PYTHON) -m venv $(VENV_UV) && $(VENV_UV)/bin/python -m pip install --quiet uv; }
	$(VENV_UV)/bin/uv pip compile --quiet --universal --upgrade --no-annotate --python-version 3.11 --extra dev \
		--custom-compile-command 'make constraints' --output-file constraints.txt pyproject.toml

.PHONY: clean
clean: ## Remove what make made: environments and caches. Meshes keep their data (.moorage)
	rm -rf $(VENV) $(VENV_PROTOS) $(VENV_UV) dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps are written last, so that an installation that broke off is done again.

$(VENV)/.installed: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Moorage needs Python 3.11 or later; none was found on PATH." >&2; exit 1; }
	@echo "Installing what is needed into $(VENV); this takes about half a minute, once."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

$(VENV_PROTOS)/.installed: protos/requirements.txt
	@test -n "$(PYTHON)" || { echo "Moorage needs Python 3.11 or later; none was found on PATH." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV_PROTOS)
	$(VENV_PROTOS)/bin/python -m pip install --quiet --requirement protos/requirements.txt
	touch $@
