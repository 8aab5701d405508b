# make app    install what is missing and serve the page
# make test   the same, with Chromium and the test tools, and run the tests
# make test-slow   the tests of heavy work: every format, other policies, words, Ray
# make check  format, lint, types and names that nothing uses; the page's scripts too, where npm is there
# make bench  benchmarks
# make docs   the documentation as a site, in site/
# make mutants   would the tests notice small changes of the code? MUTANTS="--sample 20 --room store" asks for fewer
# make audit  known holes in the locked versions; asks pypi.org or osv.dev, so it needs the network
# make lock   requirements.lock anew, from what .venv holds
# make space DIR=folder   a folder that runs as a Docker Space, or as an image anywhere; ZERO=1: as a ZeroGPU Space
# PYTHON=... chooses the interpreter (3.11 or 3.12) that .venv is made from.

PYTHON ?=
RUN := .venv/bin/python
export OMP_NUM_THREADS ?= 2
unexport PYTHONDONTWRITEBYTECODE  # else each of the hundred processes that the tests start compiles the sources again

.PHONY: app test test-slow check scripts format bench docs mutants audit lock space clean

app: .venv/.app
	$(RUN) app.py

test: .venv/.test
	OMP_NUM_THREADS=1 $(RUN) -m pytest -m "not browser and not slow" --ignore tests/browser -n auto --dist loadfile
	OMP_NUM_THREADS=1 $(RUN) -m pytest -m "browser and not slow" tests/browser -n 2 --dist loadfile

test-slow: .venv/.slow
	$(RUN) -m pytest -m slow

check: .venv/.test
	$(RUN) -m ruff format --check .
	$(RUN) -m ruff check .
	$(RUN) -m mypy
	$(RUN) -m vulture
	@if command -v npm > /dev/null; then $(MAKE) --no-print-directory scripts; else echo "npm is not here, so the page's scripts are not checked."; fi

scripts: node_modules/.here
	npm run --silent check

node_modules/.here: package.json package-lock.json
	npm ci
	@touch $@

format: .venv/.test
	$(RUN) -m ruff format .
	$(RUN) -m ruff check --fix .

bench: .venv/.test
	for script in tests/benchmarks/bench_*.py; do PYTHONPATH=. $(RUN) $$script || exit 1; done

docs: .venv/.test
	$(RUN) -m mkdocs build --strict

mutants: .venv/.test
	PYTHONPATH=. $(RUN) scripts/mutants.py $(MUTANTS)

audit: .venv/.audit
	.venv/audit/bin/pip-audit --requirement requirements.lock --no-deps --disable-pip --strict

lock: .venv/.test
	$(RUN) scripts/lock.py

space: .venv/.app
	$(RUN) scripts/space.py $(DIR) $(if $(ZERO),zero)

clean:
	rm -rf .venv node_modules .pytest_cache .ruff_cache .mypy_cache site

.venv/.audit: .venv/.app
	$(RUN) -m venv .venv/audit
	.venv/audit/bin/pip install -q "pip-audit>=2.10,<3"
	@touch $@

.venv/.app: requirements.txt requirements.lock packages.txt scripts/install.sh
	PYTHON="$(PYTHON)" bash scripts/install.sh app
	@touch $@

.venv/.test: .venv/.app pyproject.toml
	PYTHON="$(PYTHON)" bash scripts/install.sh test
	@touch $@

.venv/.slow: .venv/.test
	bash scripts/install.sh slow
	@touch $@
