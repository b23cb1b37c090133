# make demo   set up and run the main job: a rank sweep on the bundled corpus, its table and figure
# make test   set up and pass the tests; those that need a Slurm cluster run where Slurm is installed
# make test-thorough   the tests that take minutes each: every sweep of sweeps/ trained, the real commands killed many times
# make test-slurm   install Slurm where that is allowed and pass every fault on a cluster of this machine's own (about half an hour)
# make setup TORCH=cu126   the same, with another build of torch: cu126 for drivers of CUDA 12 (setup.sh says from which package index)
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

.PHONY: FORCE torch-build setup demo test test-thorough test-unit test-slurm slurm-packages check bench lock clean

setup: $(READY)

# A build that is asked for is installed, however fresh the rest is.
.venv/.ready: requirements.lock pyproject.toml setup.sh $(if $(TORCH),FORCE)
	bash setup.sh .venv
	touch $@

torch-build:
	bash setup.sh $(CONDA_PREFIX)

demo: setup
	$(BIN)/python run.py -m lora.r=8,16,32

test: setup
	$(BIN)/python -m pytest -m "not faults and not thorough"

test-thorough: setup
	$(BIN)/python -m pytest -m thorough

test-unit: setup
	$(BIN)/python -m pytest -m "not model and not slurm and not long and not faults and not thorough"

test-slurm: setup slurm-packages
	$(BIN)/python -m pytest -n 0 -v tests/slurm tests/faults

slurm-packages:
	-bash slurm/testbed/install.sh

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Each benchmark prints one JSON object. PDNC=DIR adds who speaks, scored on that corpus, which is not ours to ship.
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
lock: setup
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --no-annotate --no-header \
		$(addprefix --no-emit-package ,$(NVIDIA)) --output-file requirements.lock

clean:
	rm -rf .venv build *.egg-info
