# make demo    sets up the environment if needed and runs the quickstart study to its report, whose path comes last
# make restore STUDY=quickstart   pulls a study that somebody has run: nothing of it is computed again
# make test    sets up the environment if needed and passes the whole suite
# make test-all   the suite, and after it what is slow by nature
# make check   the quick checks alone: style, types of files, the import contract
# make pictures   takes the pictures of the documentation: of a finished quickstart, and of the site (make demo docs)
# make docs    writes anew all pages that are made from the code, and the schema of a study, and builds the site of them
# make test-cluster   the workflow on a Slurm of one node, which is brought up for it: on Debian as root, minutes
# make test-processors   what trainings reach, and their bits, as on other processors: half an hour on two cores
# PYTHON=python3.12 chooses another interpreter; TORCH_FLAGS="--index-url <PyTorch's CPU index>" a smaller torch.

SHELL := /bin/bash
PYTHON ?= python3
STUDY ?= quickstart
VENV ?= .venv
TORCH_FLAGS ?=
ACTIVATE := source $(VENV)/bin/activate &&
READY := $(VENV)/.ready
export DVC_NO_ANALYTICS := 1
export MLFLOW_DISABLE_TELEMETRY := true
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo restore test test-slow test-all test-cluster test-processors check docs pictures setup clean

setup: $(READY)

# torch first and alone: what needs torch must find it there, and not choose another build.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "collapselab needs Python 3.11 or later; say make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(ACTIVATE) pip install -q -c constraints.txt $(TORCH_FLAGS) "$$(grep '^torch==' constraints.txt)"
	$(ACTIVATE) pip install -q -c constraints.txt -e '.[dev,docs,slurm,judge,marks,mnist,pretrained,provenance,crowd,search,remotes]'
	@$(ACTIVATE) pip install -q -c constraints.txt -e '.[brisque]' || echo "no brisque: it needs a C++ compiler; its tests are skipped"
	@$(ACTIVATE) pip install -q --no-deps -c constraints.txt resemblyzer || echo "no resemblyzer, of which one file is read; its tests are skipped"
	touch $@

demo: $(READY)
	@$(ACTIVATE) collapselab run quickstart

# What was pulled is newer than Snakemake thinks: told once that it is as it should be, it runs what an edit asks for.
restore: $(READY)
	$(ACTIVATE) dvc pull $(STUDY) --with-deps
	$(ACTIVATE) snakemake --touch --forceall --quiet all --config study=$(STUDY)
	@echo "Nothing of $(STUDY) is to be run again; collapselab track $(STUDY) shows it in MLflow, too."

check: $(READY)
	$(ACTIVATE) ruff check . && ruff format --check .
	$(ACTIVATE) lint-imports
	$(ACTIVATE) snakefmt --check Snakefile workflow
	$(ACTIVATE) python tests/lint.py

# What hangs from the code: some of docs/*.md, docs/architecture.svg, config/study.schema.json. Then the site of all pages,
# docs/_build/html/index.html: warnings are errors, and nothing is fetched. Addresses outside are looked up by
# sphinx-build -b linkcheck docs docs/_build/linkcheck, which needs a network.
docs: $(READY)
	$(ACTIVATE) python docs
	$(ACTIVATE) sphinx-build -q -W --keep-going -b html docs docs/_build/html
	@echo "The site: $(CURDIR)/docs/_build/html/index.html"

# Curves and samples of the quickstart, and what a person sees of it: report, terminal, MLflow, site. It needs Chromium.
pictures: $(READY)
	$(ACTIVATE) python docs/pictures.py
	$(ACTIVATE) python docs/screenshots.py

# One thread a worker: more would wait for one another's cores. Files in the order of tests/conftest.py: the longest first.
test: check
	$(ACTIVATE) OMP_NUM_THREADS=1 pytest -n 2 --dist loadfile --no-loadscope-reorder --durations 20

# What is slow by nature: kills by the hundred, whole studies, compiled steps. What needs a GPU or a cluster stays out.
test-slow: $(READY)
	$(ACTIVATE) OMP_NUM_THREADS=1 pytest -n 2 --dist loadfile -m 'slow and not gpu and not cluster' --durations 20

test-all: test test-slow

# A real Slurm of one node on this machine, with fake GPUs: brought up, used and taken down. As root on Debian what it
# needs is installed first; elsewhere it says what is missing, and skips. One that is there already is not touched.
test-cluster: $(READY)
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && ! tests/cluster/slurm.sh lacks >/dev/null; then \
		apt-get update -q >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
			munge slurmctld slurmd slurm-client slurmdbd mariadb-server >/dev/null; fi || true
	@lacks=$$(tests/cluster/slurm.sh lacks) || { echo "no cluster is tested; missing: $$lacks"; exit 0; }; \
		source $(VENV)/bin/activate && OMP_NUM_THREADS=1 pytest -m cluster --durations 0 tests/cluster

# A line for each kind of processor; those that this one cannot be are skipped and named.
test-processors: $(READY)
	@$(ACTIVATE) python tests/processors.py

clean:
	rm -rf results logs .snakemake mlflow.db mlflow.db.lock mlartifacts
