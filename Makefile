# The two commands of the README are `make demo` and `make test`; both set up .venv by themselves.
# PYTHON=/path/to/python chooses the interpreter that .venv is made of.

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# An installation is done again only when one of these changes.
METADATA := setup.cfg setup.py pyproject.toml
DEMO_READY := $(VENV)/ready-for-demo
TEST_READY := $(VENV)/ready-for-test
FULL_READY := $(VENV)/ready-for-full-test
DOCS_READY := $(VENV)/ready-for-docs

export PYTHON

.PHONY: demo test test-full release-check speedups format methods parity diagrams errors docs bench \
	guard simulate soak matrix clean

demo: $(DEMO_READY)
	$(BIN)/python examples/demo.py

test: $(TEST_READY)
	$(BIN)/python tools/check.py

# With everything in full length: about half an hour.
test-full: $(FULL_READY)
	$(BIN)/python tools/check.py --full

# What users would install, tried as they would: some minutes. DIST=dist keeps what was checked.
DIST :=
release-check: | $(BIN)/python
	$(BIN)/python tools/release.py $(if $(DIST),--dist $(DIST))

# The compiled twin of the hot path, beside its source, where Cython and a compiler are.
speedups: $(TEST_READY)
	$(BIN)/python tools/speedups.py --check

format: $(TEST_READY)
	$(BIN)/ruff check --fix-only --quiet
	$(BIN)/ruff format

# The lists of names in docs/api-parity.md; `make test` says when they are stale.
parity: $(TEST_READY)
	PYTHONPATH=.:core $(BIN)/python tools/parity.py

# The files of methods, from the builders in the core; `make test` says when one is stale.
methods: $(TEST_READY)
	$(BIN)/python tools/methods.py

# docs/diagrams.md, from the import contracts and the states of a connection.
diagrams: $(TEST_READY)
	$(BIN)/python tools/diagrams.py

# docs/errors.md, from the classes of errors and their cures.
errors: $(TEST_READY)
	PYTHONPATH=.:core $(BIN)/python -m tools.errors_page

# The site, in build/site: no warning, no dead link within it, and nothing that needs a network.
docs: $(DOCS_READY)
	$(BIN)/python -m sphinx -W --keep-going -q -a -b html -d build/doctrees docs build/site

bench: $(TEST_READY)
	PYTHONPATH=.:core $(BIN)/python -m benchmarks

# tools/guard.json: what an operation costs in instructions. `make test` fails where that has grown.
guard: $(TEST_READY)
	PYTHONPATH=.:core $(BIN)/python -m tools.guard --renew

# One world after another, from SEED on: make simulate SEED=1 WORLDS=1000
SEED := 1
WORLDS := 100
simulate: $(TEST_READY)
	PYTHONPATH=.:core $(BIN)/python -m tests.simulation $(SEED) --worlds $(WORLDS)

# Ten thousand Buckets one after another, 5,000 connections at once, and nothing left of them.
soak: $(TEST_READY)
	PYTHONPATH=.:core $(BIN)/python -m tests.soak

# The tests on every interpreter that is here, with the oldest and the newest Twisted and gevent, in
# environments of their own: make matrix ONLY='3.14 newest core'. tools/matrix_root.py makes a root
# of Debian's unstable branch, which has more interpreters, and runs it there.
matrix:
	@for python in $${PYTHON:-python3.13 python3.12 python3.11 python3}; do \
		if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			exec "$$python" tools/matrix.py $(ONLY); \
		fi; \
	done; \
	echo "the matrix needs a Python 3.11 or newer to begin with" >&2; \
	exit 1

clean:
	rm -rf $(VENV) build dist *.egg-info core/*.egg-info core/couchloop/hot/*.so _trial_temp* \
		.coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(DEMO_READY): $(METADATA) | $(BIN)/python
	$(PIP) install -e '.[all]'
	@touch $@

$(TEST_READY): $(METADATA) | $(BIN)/python
	$(PIP) install -e '.[all,test]'
	@touch $@ $(DEMO_READY)

# With the frameworks of docs/recipes.md, whose tests skip without.
$(FULL_READY): $(METADATA) | $(BIN)/python
	$(PIP) install -e '.[all,recipes,test]'
	@touch $@ $(TEST_READY) $(DEMO_READY)

$(DOCS_READY): $(METADATA) | $(BIN)/python
	$(PIP) install -e '.[all,docs]'
	@touch $@ $(DEMO_READY)

# `make -j` must not let two installations write into one environment.
.NOTPARALLEL:

# A launcher of that name may exist and yet start nothing, or lack ensurepip (Debian splits it off).
$(BIN)/python:
	@for python in $${PYTHON:-python3.13 python3.12 python3.11 python3}; do \
		if "$$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' \
			2>/dev/null; then \
			echo "making $(VENV) with $$python"; \
			exec "$$python" -m venv --clear $(VENV); \
		fi; \
	done; \
	echo "couchloop needs Python 3.11 or newer with its venv module" \
		"(on Debian: python3-venv); PYTHON=/path/to/python names one." >&2; \
	exit 1
