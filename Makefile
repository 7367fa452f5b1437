# make demo · make test · make check        everything is installed into .venv on the way
# make test-live                            the same for a real Label Studio, in an environment of its own
# make soak                                 three cycles of `alloop up` while its processes are killed one after another

PYTHON ?= python3
BIN := .venv/bin
export PYTHONDONTWRITEBYTECODE = 1

.PHONY: install demo demo-detect demo-label-studio test test-live soak check bench clean
LABEL_STUDIO := .venv-label-studio

install: .venv/installed.stamp

.venv/installed.stamp: pyproject.toml constraints.txt
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'alloop needs Python 3.11 or newer')"
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[all,dev]' --constraint constraints.txt
	touch $@

demo: install
	$(BIN)/alloop demo --out demo-out

demo-detect: install
	$(BIN)/alloop demo --task detect --out demo-detect-out

test: install
	$(BIN)/python -m pytest -n 2 --dist loadgroup

test-live: install $(LABEL_STUDIO)/installed.stamp
	ALLOOP_LABEL_STUDIO_VENV=$(LABEL_STUDIO) $(BIN)/python -m pytest tests/live -n 0 --timeout 600

demo-label-studio: install $(LABEL_STUDIO)/installed.stamp
	ALLOOP_LABEL_STUDIO_VENV=$(LABEL_STUDIO) $(BIN)/python -m deployments.demo_label_studio --out demo-label-studio-out

$(LABEL_STUDIO)/installed.stamp:
	test -x $(LABEL_STUDIO)/bin/python || $(PYTHON) -m venv $(LABEL_STUDIO)
	$(LABEL_STUDIO)/bin/python -m pip install --quiet --disable-pip-version-check label-studio==1.23.2
	touch $@

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

soak: install
	$(BIN)/python -m pytest -n 0 -s --timeout 600 tests/soak/test_compose_by_hand.py
	$(BIN)/python -m pytest -n 0 -s --timeout 600 tests/soak/test_soak.py

bench: install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]' --constraint constraints.txt
	$(BIN)/python tests/benchmarks/bench_pool.py --images 100000
	$(BIN)/python tests/benchmarks/bench_selection.py
	$(BIN)/python tests/benchmarks/bench_scoring.py --samples 10000000 --classes 100
	$(BIN)/python tests/benchmarks/bench_backtest.py --images 25000 --seeds 10 --workers 2
	$(BIN)/python tests/benchmarks/bench_yolo.py
	$(BIN)/python tests/benchmarks/bench_webhooks.py
	$(BIN)/python -m tests.benchmarks.bench_overhead --cycles 6

clean:
	rm -rf .venv $(LABEL_STUDIO) demo-out demo-detect-out demo-label-studio-out .mypy_cache .ruff_cache .pytest_cache .hypothesis
