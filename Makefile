# Two commands do everything on a machine with Python and make: `make study` and `make test`.
# `make test-faults` meets every fault many times and prints a table; `make test-mutants` breaks the code in many places,
# one at a time, and sees a test fail for each; `make coverage` says which lines and branches no test runs.

PYTHON ?= python3
BIN := .venv/bin
# Tests that start a study wait for its Ray now and then: one process more than cores, at most four.
PROCESSES = $(shell $(PYTHON) -c 'import os; print(min(4, (os.cpu_count() or 1) + 1))')
VERSION := $(shell $(PYTHON) -c 'import platform; print(platform.python_version())')
INSTALLED := .venv/.installed-$(VERSION)
DEVELOPS := .venv/.develops-$(VERSION)

.PHONY: study test coverage test-faults test-mutants bench test-cluster clean

study: $(INSTALLED)
	$(BIN)/python study/launch.py --preset quick

test: $(DEVELOPS)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n $(PROCESSES) --dist loadfile --no-loadscope-reorder

# The same tests, and what they run of the three packages: in processes that they start and in workers of Ray, too.
coverage: $(DEVELOPS)
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n $(PROCESSES) --dist loadfile --no-loadscope-reorder
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

test-faults: $(DEVELOPS)
	$(BIN)/python -m pytest -m fault --every-fault -n $(PROCESSES) --dist worksteal

test-mutants: $(DEVELOPS)
	$(BIN)/python tests/mutants/run.py

bench: $(DEVELOPS)
	$(BIN)/python benchmarks/bench.py

# A real `ray up` and a real Slurm on two hosts of this machine: needs root, network namespaces and Debian's packages
# git iproute2 util-linux procps openssh-client openssh-server rsync slurm-wlm munge. Without them it ends with Error 77.
test-cluster: $(DEVELOPS)
	$(BIN)/python tests/cluster/hosts.py
	$(BIN)/python tests/cluster/real_ray_up.py
	$(BIN)/python tests/cluster/real_slurm.py

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 to 3.13 is needed, this is " + sys.version) if not (3, 11) <= sys.version_info < (3, 14) else None'
	@# Another Python makes anew what make has made; an environment that somebody else made stays as it is.
	@[ -z "$$(ls -A .venv 2>/dev/null)" ] || grep -qsx "version = $(VERSION)" .venv/pyvenv.cfg || \
		if ls .venv/.installed-* >/dev/null 2>&1; then rm -rf .venv; else \
		echo "make did not make .venv, and it is not of Python $(VERSION): install into it (docs/install.md) and run" \
			"$(BIN)/python study/launch.py --preset quick, or remove it (rm -rf .venv) and run make again" >&2; exit 1; fi
	$(PYTHON) -m venv .venv
	@echo "installing: minutes, and gigabytes where pip takes PyTorch with CUDA (docs/install.md has CPU wheels) ..."
	$(BIN)/python -m pip install --quiet -c constraints.txt -e .
	touch $@

# What a study does not need: tools that check the code, and what the tests compare with.
$(DEVELOPS): $(INSTALLED)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev,cluster]"
	touch $@

clean:
	rm -rf .venv
