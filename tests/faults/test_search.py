"""A search on a cluster outlives its launcher, its workers and a node, and a promoted trial ends in the bits of one that never paused."""

import os
import signal
import subprocess
import sys
from contextlib import suppress

import pytest

from persona_exp.search.ask_files import read_asks
from persona_exp.search.rebuilt_study import RebuiltStudy
from tests.conftest import ROOT
from tests.faults.sweep import TINY

pytestmark = [pytest.mark.slurm, pytest.mark.faults]

TRIAL = (
    "method=qlora",
    "lora.r=8",
    "train.max_steps=11",
    "train.eval_steps=6",
    "train.eval_items=4",
    "train.checkpoint_steps=2",
    "lora.dropout=0.1",
    "data.size=16",
    "bundle.size=1",
    *TINY,
)
# One rung, at step 6, of which the better half goes on: the best come first, are paused behind the very best, and promoted when there are
# more that are worse.
RATES = (0.02, 0.016, 0.012, 0.008, 0.004, 0.002, 0.001, 0.0005, 0.0002, 0.0001)
TRIALS = len(RATES)
SEARCH = (
    "-m",
    "hydra/sweeper=optuna",
    "hydra/sweeper/sampler=grid",
    "hydra/sweeper/pruner=asha",
    "hydra.sweeper.pruner.reduction_factor=2",
    f"optim.lr={','.join(map(str, RATES))}",
    f"hydra.sweeper.n_trials={TRIALS}",
    *TRIAL,
)


@pytest.mark.timeout(1800)
def test_an_asha_search_survives_its_launcher_two_workers_and_a_node(cluster, sweep, tmp_path):
    one = sweep(SEARCH)
    one.launch("hydra.launcher.array_parallelism=3")
    folder = one.runs / "sweeps" / one.name()

    def running():
        found = {ask.trials[0].trial_id: one.attempts(ask.trials[0].trial_id) for ask in read_asks(folder)}
        return {trial: records[-1] for trial, records in found.items() if records and records[-1]["status"] == "running"}

    def states():
        study = RebuiltStudy(folder)
        study.refresh()
        return [result.state for result in study.results]

    one.waits("three trials run", lambda: len(running()) >= 3, 240)
    one.kill()
    for trial in list(running())[:2]:
        for pid in [pid for pids in cluster.processes(one.job(trial)).values() for pid in pids]:
            # With its parent gone a child may have left by itself.
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    node = next(iter(one.waits("another trial runs", running, 240).values()))["host"]
    cluster.run("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
    one.waits("all are asked for", lambda: len(states()) == TRIALS, 600)
    cluster.run("scontrol", "update", f"nodename={node}", "state=resume")
    one.waits("none is open", lambda: not {"open", "running"} & set(states()), 600)
    one.reported(180)
    one.drains()
    found = states()
    assert set(found) == {"complete", "paused"}
    assert found.count("complete") >= 2
    promoted = 0
    for ask, state in zip(read_asks(folder), found, strict=True):
        records = one.attempts(ask.trials[0].trial_id)
        assert sum(record["status"] == "finished" for record in records) == (state == "complete")
        if state == "complete" and any(record.get("cause") == "paused" for record in records):
            promoted += 1
            alone(one, ask, tmp_path / ask.trials[0].trial_id)
    assert promoted, "no trial was promoted: nothing was proved"


def alone(one, ask, folder):
    """Train the trial of `ask` uninterrupted and without a cluster; fail unless its adapter is the same."""
    overrides = [f"{key}={text}" for key, text in ask.overrides.items()]
    line = [sys.executable, str(ROOT / "run.py"), *overrides, *TRIAL, "evaluation.split=validation"]
    environment = {**one.environment, "PERSONA_EXP_RUNS": str(folder)}
    done = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    trial = ask.trials[0].trial_id
    adapters = [runs / "trials" / trial / "adapter" / "adapter_model.safetensors" for runs in (one.runs, folder)]
    assert adapters[0].read_bytes() == adapters[1].read_bytes()
