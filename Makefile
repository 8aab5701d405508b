# make app    install what is missing and serve the page
# make test   the same, with Chromium and the test tools, and run every test
# make check  format, lint and types
# make bench  benchmarks
# PYTHON=... chooses the interpreter (3.11 or 3.12) that .venv is made from.

PYTHON ?=
RUN := .venv/bin/python
export OMP_NUM_THREADS ?= 2

.PHONY: app test check format bench clean

app: .venv/.app
	$(RUN) app.py

test: .venv/.test
	OMP_NUM_THREADS=1 $(RUN) -m pytest -m "not browser" -n auto --dist loadfile
	$(RUN) -m pytest -m browser

check: .venv/.test
	$(RUN) -m ruff format --check .
	$(RUN) -m ruff check .
	$(RUN) -m mypy

format: .venv/.test
	$(RUN) -m ruff format .
	$(RUN) -m ruff check --fix .

bench: .venv/.test
	for script in tests/benchmarks/bench_*.py; do PYTHONPATH=. $(RUN) $$script || exit 1; done

clean:
	rm -rf .venv .pytest_cache .ruff_cache .mypy_cache

.venv/.app: requirements.txt packages.txt scripts/install.sh
	PYTHON="$(PYTHON)" bash scripts/install.sh app
	@touch $@

.venv/.test: .venv/.app pyproject.toml
	PYTHON="$(PYTHON)" bash scripts/install.sh test
	@touch $@
