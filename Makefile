# `make help` lists the targets. TORCH=cu126 gives another build of torch: cu126 for drivers of CUDA 12 (setup.sh says from which index).
# An active conda environment named persona-exp (environment.yml) is used as it is; else .venv is made from the lock file.

SHELL := /bin/bash

ifeq ($(CONDA_DEFAULT_ENV),persona-exp)
BIN := $(CONDA_PREFIX)/bin
READY := $(if $(TORCH),torch-build)
else
BIN := .venv/bin
READY := .venv/.ready
endif

NVIDIA := cuda-bindings cuda-pathfinder cuda-toolkit triton nvidia-cublas nvidia-cuda-cupti nvidia-cuda-nvrtc nvidia-cuda-runtime \
	nvidia-cudnn-cu13 nvidia-cufft nvidia-cufile nvidia-curand nvidia-cusolver nvidia-cusparse nvidia-cusparselt-cu13 \
	nvidia-nccl-cu13 nvidia-nvjitlink nvidia-nvshmem-cu13 nvidia-nvtx

export TORCH
.DEFAULT_GOAL := setup

.PHONY: FORCE help torch-build setup demo test test-thorough test-unit test-slurm slurm-packages check reference docs bench lock clean

## List the targets, each in a sentence.
help:
	@awk '/^## / { sentence = substr($$0, 4) } /^[a-z-]+:/ { if (sentence) { name = $$1; sub(/:.*/, "", name); printf "make %-15s %s\n", name, sentence } sentence = "" }' Makefile

## Make the environment from requirements.lock; TORCH=cu126 takes another build of torch.
setup: $(READY)

# A build that is asked for is installed, however fresh the rest is.
.venv/.ready: requirements.lock pyproject.toml setup.sh $(if $(TORCH),FORCE)
	bash setup.sh .venv
	touch $@

## Put the build of torch that TORCH names into the active conda environment.
torch-build:
	bash setup.sh $(CONDA_PREFIX)

## Train three ranks on the bundled stories, and print the table of the sweep.
demo: setup
	$(BIN)/python run.py -m lora.r=8,16,32

## Pass the tests, those of a Slurm cluster where Slurm is installed.
test: setup
	$(BIN)/python -m pytest -m "not faults and not thorough"

## Pass the tests that take minutes each: every sweep trained, the real commands killed many times.
test-thorough: setup
	$(BIN)/python -m pytest -m thorough

## Pass the fast tests, with a tiny model made on the spot.
test-unit: setup
	$(BIN)/python -m pytest -m "not model and not slurm and not long and not faults and not thorough"

## Pass every fault on a Slurm cluster of this machine's own, in about half an hour.
test-slurm: setup slurm-packages
	$(BIN)/python -m pytest -n 0 -v tests/slurm tests/faults

## Install Slurm where that is allowed.
slurm-packages:
	-bash slurm/testbed/install.sh

## Check style, types, imports between packages, and that the documentation builds.
check: setup docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

## Write the pages of docs/reference that follow from the code.
reference: setup
	$(BIN)/python -m reference_pages

## Build the documentation into build/site; a broken link is an error.
docs: setup
	$(BIN)/zensical build --clean --strict

## Run the benchmarks, a JSON object each; PDNC=DIR adds attribution, scored on that corpus.
bench: setup
	$(BIN)/python benchmarks/compose_latency.py --json
	$(BIN)/python benchmarks/cli_latency.py --json
	$(BIN)/python benchmarks/looking.py --trials 20000 --json
	$(BIN)/python benchmarks/resume.py --kills 24 --json
	$(BIN)/python benchmarks/corruption.py --json
	$(BIN)/python benchmarks/launch_overhead.py --json
	$(BIN)/python benchmarks/search.py --json
	$(BIN)/python benchmarks/search.py --trials 10000 --load-only --json
	$(BIN)/python benchmarks/pruning.py --json
	$(BIN)/python benchmarks/fusion.py --json
	$(BIN)/python benchmarks/throughput.py --json
	$(BIN)/python benchmarks/engine_ablation.py --json
	$(if $(PDNC),$(BIN)/python benchmarks/attribution.py --json --pdnc $(PDNC))

# The torch wheel pins its own CUDA packages; the lock leaves them to it, so that a CPU build of torch fits the same lock.
## Write requirements.lock anew from pyproject.toml.
lock: setup
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --no-annotate --no-header \
		$(addprefix --no-emit-package ,$(NVIDIA)) --output-file requirements.lock

## Delete the environment and what was built; runs/ stays.
clean:
	rm -rf .venv build *.egg-info
