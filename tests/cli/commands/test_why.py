"""`why` in every state that a trial can be in: what it says is compared with golden/why-*.txt.

Written anew with `PERSONA_EXP_GOLDEN=write pytest tests/cli/commands/test_why.py`; then read what changed.
"""

import os

import pytest

from persona_exp.cli.commands.why import explain
from tests.cli.conftest import COMMAND, ENDED, JOB_NAME, NOW, SEALED, SWEEP, TRACEBACK, Desk, compare, job, mine, write

ONE, TWO, THREE = "aaaaaaaaaaaa", "bbbbbbbbbbbb", "cccccccccccc"
JOB = {"id": "103", "array_id": "100", "task_id": 1, "restarts": 0, "name": JOB_NAME}
TRAINING = {"phase": "training", "step": 12, "of": 40, "loss": 2.5, "eta_seconds": 900.0}
STOPPED = {"status": "interrupted", "cause": "signal", "message": "stopped by SIGTERM", "progress": TRAINING}


def case(desk: Desk, attempts=(), *, submitted=True, **more):
    """Three trials of a sweep, given to Slurm; the second has these attempts."""
    for number, one in enumerate((ONE, THREE)):
        desk.trial(one, r=8 * 4**number)
    folder = desk.trial(TWO, attempts, r=16)
    sweep = desk.sweep({ONE: 8, TWO: 16, THREE: 32})
    if submitted:
        desk.submission(sweep, (ONE, TWO, THREE), **more)
        desk.queue = []
    return folder, sweep


def sealed_never_submitted(desk):
    case(desk, submitted=False)


def sealed_without_a_sweep(desk):
    desk.trial(TWO)


def sealed_local_command_at_work(desk):
    case(desk, launcher="local", by=mine(pid=os.getpid()))


def sealed_local_command_gone(desk):
    case(desk, launcher="local", by=mine(process_started="another:1"))


def sealed_local_elsewhere(desk):
    case(desk, launcher="local")


def sealed_held(desk):
    _, sweep = case(desk)
    desk.hold(sweep)
    desk.queue = [job()]


def sealed_lost(desk):
    case(desk)


def sealed_lost_keeper_waits(desk):
    case(desk)
    desk.queue = [job(name=f"{JOB_NAME}-keeper", id="200", array_id=None, tasks="", reason="Dependency")]


def sealed_slurm_does_not_answer(desk):
    case(desk)
    desk.queue = None


def sealed_not_in_the_submission(desk):
    _, sweep = case(desk, submitted=False)
    desk.submission(sweep, (ONE, THREE))
    desk.queue = [job(tasks="0-1")]


def sealed_another_evaluation_owed(desk):
    folder, _ = case(desk, [{"status": "finished"}], submitted=False)
    write(folder / "adapter" / "adapter_config.json", "{}")


def queued_priority(desk):
    case(desk)
    desk.queue = [job()]


def queued_resources(desk):
    case(desk)
    desk.queue = [job(reason="Resources")]


def queued_canary(desk):
    case(desk, canary=True)
    desk.attempt(desk.path / "trials" / ONE, 1, progress={"phase": "training", "step": 1, "of": 40})
    desk.queue = [
        job(id="99", array_id=None, task_id=None, tasks="", state="RUNNING"),
        job(tasks="0-1", comment="first=1", reason="Dependency"),
    ]


def queued_unknown_reason(desk):
    case(desk)
    desk.queue = [job(reason="AssocGrpGRESMinutes"), job(id="300", name="another")]


def queued_behind_another(desk):
    case(desk)
    desk.queue = [job(id="103", task_id=1, tasks="", state="RUNNING", node="node07", reason="None")]


def queued_again_after_preemption(desk):
    stopped = {**STOPPED, "job": JOB, "checkpoint_step": 10, "cause": "preempted", "message": "told to stop by SIGTERM"}
    case(desk, [stopped])
    desk.queue = [job(tasks="1", reason="BeginTime")]


def queued_with_a_begin_time(desk):
    case(desk)
    desk.queue = [job(tasks="1", reason="BeginTime")]


def running(desk):
    case(desk, [{"progress": TRAINING, "job": JOB, "checkpoint_step": 10}])
    desk.queue = [job(id="103", task_id=1, tasks="", state="RUNNING", node="node01", reason="None")]


def running_on_this_machine_and_stuck(desk):
    case(desk, [{**mine(), "host": mine()["host"], "progress": TRAINING, "age": 900}], launcher="local", by=mine())


def running_in_a_container_of_this_machine(desk):
    """Whose processes are not to be seen, and have numbers that ours have too."""
    case(desk, [{**mine(pid_namespace=1), "progress": TRAINING, "age": 900}], launcher="local", by=mine())


def running_heartbeat_stands_still(desk):
    case(
        desk,
        [{"progress": {**TRAINING, "phase": "evaluating", "step": None, "loss": None}, "age": 1200, "checkpoint_step": 30}],
        launcher="local",
    )


def running_resumed_and_cancelled(desk):
    folder, _ = case(
        desk, [{**STOPPED, "checkpoint_step": 12}, {"progress": {**TRAINING, "step": 15}, "resumed_from_step": 12}], launcher="local"
    )
    write(folder / "cancel.json", '{"at": "2026-03-02T11:59:00+00:00", "by": "ada"}')


def interrupted_by_a_signal(desk):
    case(desk, [{**STOPPED, "checkpoint_step": 12}], launcher="local", by=mine(process_started="another:1"))


def interrupted_job_gone(desk):
    case(desk, [{"progress": TRAINING, "job": JOB}])
    desk.queue = [job(name=f"{JOB_NAME}-keeper", id="200", array_id=None, tasks="", reason="Dependency")]


def interrupted_out_of_memory(desk):
    full = {"status": "failed", "cause": "out_of_memory", "message": "CUDA out of memory", "micro_batch_size": 8, "progress": TRAINING}
    case(desk, [full], submitted=False)


def failed(desk):
    case(desk, [{"status": "failed", "cause": "ValueError", "message": "loss is not finite at step 7", "traceback": TRACEBACK}])


def failed_on_input(desk):
    case(desk, [{"status": "failed", "cause": "input", "message": "There is no example of the kind qa.", "traceback": TRACEBACK}])


def failed_after_retries(desk):
    first = {**STOPPED, "cause": "preempted", "message": None, "checkpoint_step": 10, "started": "2026-03-01T20:00:00+00:00"}
    full = {"cause": "out_of_memory", "message": "CUDA out of memory", "progress": TRAINING, "resumed_from_step": 10}
    second = {
        "status": "failed",
        **full,
        "micro_batch_size": 2,
        "started": "2026-03-01T23:00:00+00:00",
        "ended": "2026-03-02T08:00:00+00:00",
    }
    lost = {"started": "2026-03-02T08:30:00+00:00", "micro_batch_size": 1, "resumed_from_step": 10}
    previous = {"attempt": 3, "host": "node03", "cause": "node_failed", "message": "sacct says NODE_FAIL"}
    last = {"status": "failed", **full, "micro_batch_size": 1, "previous": previous}
    case(desk, [first, second, lost, last])


def failed_killed_three_times(desk):
    case(desk, [{"status": "interrupted", "cause": "killed", "message": "killed by SIGKILL"}] * 3)


def retry_allowed(desk):
    folder, _ = case(desk, [{"status": "failed", "cause": "ValueError", "message": "m"}], submitted=False)
    write(folder / "retries" / "0001", "")


def cancelled(desk):
    folder, _ = case(desk, [STOPPED])
    write(folder / "cancel.json", '{"at": "2026-03-02T11:00:00+00:00", "by": "ada"}')


def finished(desk):
    folder, _ = case(desk, [{**STOPPED, "checkpoint_step": 12}, {"status": "finished", "resumed_from_step": 12}])
    write(folder / "adapter" / "adapter_config.json", "{}")
    desk.evaluation(TWO, f"e{TWO}"[:12], 42.0)


def finished_without_a_last_word(desk):
    folder, _ = case(desk, [STOPPED], submitted=False)
    write(folder / "adapter" / "adapter_config.json", "{}")
    desk.evaluation(TWO, f"e{TWO}"[:12], 42.0)


def pruned(desk):
    case(desk, [{"status": "pruned", "message": "its loss at step 12 is in the worse half", "progress": TRAINING}], submitted=False)


def missing(desk):
    desk.sweep({TWO: 16})


CASES = [
    sealed_never_submitted,
    sealed_without_a_sweep,
    sealed_local_command_at_work,
    sealed_local_command_gone,
    sealed_local_elsewhere,
    sealed_held,
    sealed_lost,
    sealed_lost_keeper_waits,
    sealed_slurm_does_not_answer,
    sealed_not_in_the_submission,
    sealed_another_evaluation_owed,
    queued_priority,
    queued_resources,
    queued_canary,
    queued_unknown_reason,
    queued_behind_another,
    queued_again_after_preemption,
    queued_with_a_begin_time,
    running,
    running_on_this_machine_and_stuck,
    running_in_a_container_of_this_machine,
    running_heartbeat_stands_still,
    running_resumed_and_cancelled,
    interrupted_by_a_signal,
    interrupted_job_gone,
    interrupted_out_of_memory,
    failed,
    failed_on_input,
    failed_after_retries,
    failed_killed_three_times,
    retry_allowed,
    cancelled,
    finished,
    finished_without_a_last_word,
    pruned,
    missing,
]


@pytest.mark.parametrize("make", CASES, ids=lambda make: make.__name__)
def test_golden(desk, monkeypatch, make):
    monkeypatch.setattr("persona_exp.trial.code_provenance.code_provenance", lambda: {"digest": "d" * 64})
    make(desk)
    lines, answer = explain(desk.path, TWO, NOW)
    text = "\n".join(lines).replace(str(desk.path), "runs").replace(str(os.getpid()), "PID").replace(mine()["host"], "HERE") + "\n"
    compare(f"why-{make.__name__}", text)
    assert answer["sentences"] == lines
    said = make.__name__.partition("_")[0]
    assert answer["status"] == {"retry": "sealed"}.get(said, said)


def test_the_same_code_is_said_to_be_the_same(desk, monkeypatch):
    monkeypatch.setattr("persona_exp.trial.code_provenance.code_provenance", lambda: {"digest": "c" * 64})
    finished(desk)
    assert any("which is the code here" in line for line in explain(desk.path, TWO, NOW)[0])


def test_as_a_command(desk, persona_exp):
    sealed_never_submitted(desk)
    code, out, _ = persona_exp("why", "bbbb")
    assert code == 0
    assert COMMAND in out
    code, _, error = persona_exp("why", "dddd")
    assert (code, error.count("\n")) == (2, 1)
    assert "persona-exp status" in error
    code, _, error = persona_exp("why", "lora.r")
    assert (code, error.count("\n")) == (2, 1)
    assert f"lora.r is a sweep, and a trial is asked for: `persona-exp status {SWEEP}`" in error
    assert SEALED < ENDED
