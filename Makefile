# Two targets for newcomers, `run` and `test`; each sets up what it needs in .venv.
SCENARIO ?= scenarios/failover/seed-failover.yaml
VENV := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev run test lint calibrate bench clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

setup:
	@tools/make-venv

setup-dev:
	@tools/make-venv dev

run: setup  ## run a scenario (SCENARIO=path), by default: stop the seed of a cluster under load
	@$(VENV)/nats-harness run $(SCENARIO) $(ARGS)

test: setup-dev  ## run every check and every test that this machine can run
	@$(VENV)/ruff format --check --quiet . || { echo 'run: $(VENV)/ruff format .'; exit 1; }
	@$(VENV)/ruff check --quiet .
	@$(VENV)/mypy
	@$(VENV)/nats-harness doctor
	@$(VENV)/python -m pytest --cov --cov-report=term:skip-covered $(ARGS)

lint: setup-dev  ## format, lint and type-check
	@$(VENV)/ruff format .
	@$(VENV)/ruff check .
	@$(VENV)/mypy

calibrate: setup-dev  ## measure the harness against planted truth and print the table
	@$(VENV)/python tests/calibration/calibrate.py $(ARGS)

bench: setup-dev  ## measure what the harness costs and print the table
	@$(VENV)/python benchmarks/bench.py $(ARGS)

clean:  ## remove the environment and caches; run folders stay
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
