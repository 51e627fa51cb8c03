# Every target sets up what it needs: a machine with Python 3.11+ and make is enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
WORKERS ?= 2

.PHONY: run test lint chromium bench docs notebooks moa multiflow wheel kafka soak lock clean

run: $(STAMP)
	$(BIN)/stream-ml evaluate

test: lint chromium
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The browser that the test of the report opens it in: where there is none, on Debian and as root, it is installed.
chromium:
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || \
	if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
		apt-get update -qq && apt-get install -y -qq chromium >/dev/null; \
	else echo "chromium is not installed: the browser test is left out"; fi

bench: $(STAMP)
	$(BIN)/python benchmarks/against_river.py
	$(BIN)/python benchmarks/roofline.py
	$(BIN)/python benchmarks/scaling.py --rows 2000

# The site: guides and API reference, in docs/_build; every warning is an error, nothing is asked of the network.
docs: $(STAMP)
	$(BIN)/python -m sphinx -q -W --keep-going -c docs . docs/_build
	@echo docs/_build/index.html

# Run all notebooks from top to bottom and keep what they show.
notebooks: $(STAMP)
	$(BIN)/python notebooks/execute.py

# The package as a wheel, in dist/.
wheel: $(STAMP)
	$(BIN)/python -m pip wheel -q --disable-pip-version-check --no-deps -w dist .

# A real Kafka broker on 127.0.0.1:9092 until it is interrupted (Java 17 or newer; Maven for the first time).
kafka: $(STAMP)
	$(BIN)/python simulators/kafka/broker.py

# What takes too long for every day: a thousand kills, two million instances, ten minutes of damaged files; five million
# instances whose memory and rate are watched.
soak: $(STAMP)
	$(BIN)/python -m pytest -m soak tests/serving tests/storage
	$(BIN)/python benchmarks/forever.py

# MOA for the benchmark's Java peers: the jar of a pinned wheel, in .moa/ (Java 17 or newer is needed to run it).
moa: .moa/moa.jar

.moa/moa.jar: $(STAMP)
	mkdir -p .moa
	$(BIN)/python -m pip download -q --disable-pip-version-check --no-deps --dest .moa capymoa==0.15.1
	$(BIN)/python -c "import glob, zipfile; wheel = zipfile.ZipFile(glob.glob('.moa/capymoa-*.whl')[0]); open('$@', 'wb').write(wheel.read('capymoa/jar/moa.jar'))"
	rm .moa/capymoa-*.whl

# scikit-multiflow's learners beside ours, on the same rows. They run in .multiflow/, on a Python 3.8 or 3.7 that is found on
# the path or in pyenv, or is named: make multiflow MULTIFLOW_PYTHON=/path/to/python3.8
multiflow: .multiflow/.installed
	$(BIN)/python benchmarks/against_multiflow.py

.multiflow/.installed: $(STAMP) benchmarks/multiflow/requirements.txt
	MULTIFLOW_PYTHON="$(MULTIFLOW_PYTHON)" $(BIN)/python benchmarks/multiflow/environment.py .multiflow

# Renew the pins: an environment from the lower bounds alone, frozen.
lock:
	rm -rf .lock-venv && $(PYTHON) -m venv .lock-venv
	.lock-venv/bin/python -m pip install -q --upgrade pip
	.lock-venv/bin/python -m pip install -q '.[dev]'
	.lock-venv/bin/python -m pip freeze --exclude stream-ml > constraints.txt
	rm -rf .lock-venv

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis runs docs/_build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
