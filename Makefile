# Two commands on a fresh machine: make sweep, make test. Each installs once, into .venv.
PYTHON ?= python3
BIN := .venv/bin
SWEEP := init=xavier,kaiming act=relu,tanh

.PHONY: sweep test check format gallery claims battery torture gpu-check clean

sweep: .venv/installed
	$(BIN)/python train.py -m $(SWEEP)

test: .venv/installed-dev
	$(BIN)/python -m pytest -n auto --dist worksteal -q

check: .venv/installed-dev  ## lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

gallery: .venv/installed-dev  ## every claim, and one page of their verdicts: outputs/gallery/index.html
	$(BIN)/python scripts/gallery.py

claims: .venv/installed-dev  ## the claims that train nothing, or five updates: as recorded, and their negative controls flip
	$(BIN)/python scripts/gallery.py --at-init --controls --no-reports --out outputs/claims

battery: .venv/installed-dev  ## the long tests, beside what `make test` runs
	$(BIN)/python -m pytest -n auto -q -m battery

torture: .venv/installed-dev  ## kills, signals, failing disks and hostile folders, in their hundreds
	$(BIN)/python -m pytest -n auto -q -m torture

gpu-check: .venv/installed  ## what the tests prove on a CPU, on this machine's GPU
	$(BIN)/python scripts/gpu_check.py

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis build *.egg-info src/*.egg-info

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("initlab needs Python 3.11 or later, and this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv

.venv/installed: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

.venv/installed-dev: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch .venv/installed $@
