# Two targets for newcomers, `run` and `test`; each sets up what it needs in .venv.
SCENARIO ?= scenarios/failover/seed-failover.yaml
# Most tests wait, so several run at once. Those of the Engine run one after the other beside them, since each would sweep
# what another plants; those that need the machine for themselves come last.
TESTERS ?= 3
VENV := .venv/bin
PYTEST := $(VENV)/python -m pytest --cov --cov-report=
ENGINE_LOG := .tests-of-engine.log

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev run test tests-of-engine other-tests lint calibrate bench notice regressions clean

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
	@rm -f .coverage .coverage.*
	@$(MAKE) --no-print-directory --keep-going -j2 tests-of-engine other-tests; code=$$?; cat $(ENGINE_LOG); exit $$code
	@COVERAGE_FILE=.coverage.alone $(PYTEST) -m alone $(ARGS) || [ $$? = 5 ]
	@$(VENV)/coverage combine --quiet && $(VENV)/coverage report --skip-covered

tests-of-engine:
	@COVERAGE_FILE=.coverage.engine $(PYTEST) -m 'docker and not alone' $(ARGS) >$(ENGINE_LOG) 2>&1 || [ $$? = 5 ]

other-tests:
	@COVERAGE_FILE=.coverage.others $(PYTEST) -n $(TESTERS) --dist worksteal -m 'not docker and not alone' $(ARGS) || [ $$? = 5 ]

lint: setup-dev  ## format, lint and type-check
	@$(VENV)/ruff format .
	@$(VENV)/ruff check .
	@$(VENV)/mypy

calibrate: setup-dev  ## measure the harness against planted truth and print the table
	@$(VENV)/python tests/calibration/calibrate.py $(ARGS)

regressions: setup-dev  ## run published findings on releases with and without them (about 15 minutes); ARGS='--times 3 --only 7564'
	@$(VENV)/python tests/calibration/regressions.py $(ARGS)

bench: setup-dev  ## measure what the harness costs and print the table
	@$(VENV)/python benchmarks/bench.py $(ARGS)

notice: setup-dev  ## measure how long it takes until somebody notices each fault (about 20 minutes)
	@$(VENV)/python benchmarks/notice.py $(ARGS)

clean:  ## remove the environment and caches; run folders stay
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage .coverage.* $(ENGINE_LOG)
