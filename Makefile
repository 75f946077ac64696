# Two commands do everything on a fresh machine: `make report` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
FOLDERS := api corpora models capture stats probing attribution ablation viz studies

.PHONY: report test test-slow lint types format clean

report: $(INSTALLED)
	rm -rf report
	$(BIN)/bertology report demo --out report

# A file is tested in one process, a process on one thread: as many run at once as there are cores.
test: $(INSTALLED) lint types
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile

test-slow: $(INSTALLED)
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -m slow

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# A type checker sees the package whole only as a wheel installs it.
types: $(INSTALLED)
	rm -rf $(VENV)/wheel
	$(BIN)/python -m pip install --quiet --no-deps --target $(VENV)/wheel .
	rm -rf build
	cd $(VENV)/wheel && MYPYPATH=. ../bin/python -m mypy --config-file ../../pyproject.toml -p bertology

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "bertology needs Python 3.11 or newer; name one: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[demo,erasure,gguf,peft,test]"
	touch $(INSTALLED)

clean:
	rm -rf $(VENV) report build *.egg-info
