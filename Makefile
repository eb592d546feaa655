# make demo   sets everything up and reads some documents
# make test   sets everything up and runs every check, two at a time; coverage is measured over the quick ones
# make quick  the checks that take under 90 seconds together
# make other  those by the other one of Python 3.11 and 3.12, where this machine has it
# make drills kills, stops and starves what running jobs stand on: processes, nodes, databases, disks, S3
# make lock   renews the pinned versions of all packages; make lock UPGRADE=--upgrade takes the newest
# make audit  asks OSV for known vulnerabilities of them: 0 none, 1 some (make shows "Error 1"), 2 it could not be asked
# make long   10,000 broken files, 20,000 edits of signed invoices, a job of a million documents, a document of 3,000 pages, 200 pages decoded the slow way

VENV := .venv
BIN := $(VENV)/bin
SETUP := infra/setup.sh infra/constraints.txt infra/requirements.lock infra/requirements-extras.lock infra/requirements-test.lock infra/requirements-vocabulary.lock pyproject.toml
COVERED := 83
# Where tests start Ray: they wait more than they compute, so that the others run beside them.
CLUSTERS := tests/e2e tests/infra tests/workers
export RAY_USAGE_STATS_ENABLED := 0
# Where a machine forbids it, each of the tests' hundreds of processes would compile our code again.
export PYTHONDONTWRITEBYTECODE :=
# The tests' networks are tiny, and two parts of the tests run at once: threads that wait for each other would take
# many times as long on a machine that has other work.
ONE_THREAD := OMP_NUM_THREADS=1

.PHONY: demo test other clusters covered slow drills long quick lint lock audit clean
demo: $(VENV)/.ready-app
	@infra/demo.sh

test: $(VENV)/.ready-test lint
	@echo "two at a time: each tells what it has to tell when it ends, the one with clusters after some twenty minutes"
	@$(MAKE) --no-print-directory --keep-going -j2 --output-sync=target clusters covered slow

clusters: $(VENV)/.ready-test
	$(BIN)/python -m pytest -q -m "slow and not drill" --durations=40 $(CLUSTERS)

covered: $(VENV)/.ready-test
	@mkdir -p .coverage
	$(ONE_THREAD) $(BIN)/python -m pytest -q -m "not slow and not drill" --cov --cov-report=term --cov-fail-under=$(COVERED)

slow: $(VENV)/.ready-test
	$(ONE_THREAD) $(BIN)/python -m pytest -q -m "slow and not drill" --durations=20 tests $(CLUSTERS:%=--ignore=%)

drills: $(VENV)/.ready-test
	$(BIN)/python -m pytest -m drill

long: $(VENV)/.ready-test
	VINBATCH_MUTANTS=10000 VINBATCH_DOCUMENTS=1000000 VINBATCH_PAGES=3000 VINBATCH_SLOW_PAGES=200 VINBATCH_MIXES=200 \
		VINBATCH_EDITS=20000 $(BIN)/python -m pytest --timeout 0 tests/pipeline/test_fuzz.py tests/einvoice/test_signature.py \
		tests/workers/test_million.py tests/workers/test_budgets.py tests/vintern/test_engine.py

quick: $(VENV)/.ready-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(ONE_THREAD) $(BIN)/python -m pytest -n 2 -m "not slow and not medium and not drill"

other:
	@infra/other_python.sh

lint: $(VENV)/.ready-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy

lock: $(VENV)/.ready-test
	$(BIN)/python -m infra.lock $(UPGRADE)

audit: $(VENV)/.ready-test
	$(BIN)/python -m infra.audit

clean:
	rm -rf .venv .venv-other .demo build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage

$(VENV)/.ready-app: $(SETUP)
	@VENV=$(VENV) infra/setup.sh app

$(VENV)/.ready-test: $(SETUP)
	@VENV=$(VENV) infra/setup.sh test
