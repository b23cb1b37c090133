"""What an attempt died of, on a site without accounting."""

import pytest

from persona_exp.launch.recovery.failure_cause import failure_cause
from persona_exp.launch.slurm import slurm_accounting, slurm_command
from persona_exp.launch.slurm.slurm_command import Answer

JOB = {"id": "7", "array_id": None, "task_id": None, "restarts": 0, "name": "x"}
LOST = {"host": "node1", "pid": 1, "process_started": "boot:1", "job": JOB, "started": "2026-01-01T00:00:00+00:00"}
BEFORE, AFTER = 1767225599, 1767225601


@pytest.mark.parametrize(
    ("shown", "restarts", "expected"),
    [
        (f"State=DOWN* BootTime={BEFORE}", 0, ("node_failed", True)),
        (f"State=DOWN+DRAIN BootTime={BEFORE}", 1, ("node_failed", True)),
        (f"State=IDLE BootTime={AFTER}", 0, ("node_failed", True)),
        (f"State=IDLE BootTime={AFTER}", 1, ("preempted", False)),
        (f"State=IDLE+CLOUD BootTime={AFTER}", 0, ("node_failed", False)),
        (f"State=MIXED BootTime={BEFORE}", 0, ("node_failed", False)),
        ("State=IDLE BootTime=None", 0, ("node_failed", False)),
        (None, 0, ("node_failed", False)),
        (None, 1, ("preempted", False)),
    ],
)
def test_a_node_that_slurm_shows_as_down_or_started_anew_is_proof(monkeypatch, shown, restarts, expected):
    def ask(asked, **_):
        assert asked[:4] == ["scontrol", "show", "node", "node1"]
        return Answer(0, f"NodeName=node1 Arch=x86_64 {shown} LastBusyTime=1\n", "") if shown else None

    monkeypatch.setattr(slurm_command, "ask", ask)
    monkeypatch.setattr(slurm_accounting, "history", lambda ids, **_: None)
    monkeypatch.setenv("SLURM_JOB_ID", "7" if restarts else "8")
    monkeypatch.setenv("SLURM_RESTART_COUNT", str(restarts))
    found = failure_cause(LOST)
    assert (found.cause, found.proven) == expected
