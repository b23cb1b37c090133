"""Workers at real trials of engine=noop, with faults put in."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from persona_exp.launch.recovery import sweep_hold
from persona_exp.launch.recovery.retry_decision import allow_retry
from persona_exp.launch.sweeps import submission_record
from persona_exp.launch.workers import environment_copy
from persona_exp.launch.workers.training_process import TrainingProcess
from persona_exp.launch.workers.worker_loop import Worker
from persona_exp.launch.workers.worker_tasks import tasks_of_seals
from persona_exp.process_identity import node_name, process_started
from persona_exp.trial.trial_directory import TrialDirectory
from tests.launch.rehearsed import attempts, running, sealed, stop, submitted, until, worker

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("one_copy_of_the_code")]

LASTING = {"PERSONA_EXP_NOOP_SECONDS": "3"}


@pytest.fixture
def trials(config, tmp_path):
    """`trials(3)`: the seals of three trials below tmp_path/runs."""
    return lambda number: sealed(config, tmp_path, number)


def ended(process, code=0, seconds=60):
    output = process.communicate(timeout=seconds)[0]
    assert process.returncode == code, output
    return output


def statuses(folder, seals):
    return [[one["status"] for one in attempts(folder, seal)] for seal in seals]


def directory_of(folder, seal):
    return folder / "runs" / "trials" / seal.split("/")[0]


def leave_running(folder, seal, **facts):
    """An attempt that says that it runs."""
    record = {"attempt": 1, "host": "elsewhere", "pid": 1, "process_started": "boot:1", "heartbeat": 0, "status": "running"}
    record |= {"seal": seal.rsplit("/", 1)[1], "job": None, "heartbeat_seconds": 0.2, **facts}
    path = directory_of(folder, seal) / "attempts" / "0001.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record))
    return path


def test_it_imports_nothing_heavy():
    heavy = ("torch", "numpy", "transformers", "hydra", "omegaconf", "yaml", "rich", "submitit")
    code = f"import persona_exp.launch.workers.worker_loop, sys; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_environment_is_copied_once_where_the_site_asks_for_it(trials, tmp_path, monkeypatch):
    seals = trials(2)
    asked = []
    monkeypatch.setattr(environment_copy, "environment_copy", lambda scratch: asked.append(scratch) or tmp_path / "copy")
    with TrainingProcess() as child:
        paths = [tmp_path / "runs" / "trials" / seal for seal in seals]
        assert Worker(tasks_of_seals(paths, environment_scratch="$TMPDIR"), child).run() == 0
        assert Worker(tasks_of_seals(paths), child).run() == 0
    assert (asked, child.copy) == (["$TMPDIR"], tmp_path / "copy")
    assert statuses(tmp_path, seals) == [["finished"]] * 2


def test_it_runs_its_own_then_whatever_is_left(trials, tmp_path):
    seals = trials(3)
    made = submitted(tmp_path, [[seal] for seal in seals])
    ended(worker(made, "--task", "1"))
    assert statuses(tmp_path, seals) == [["finished"]] * 3
    started = [attempts(tmp_path, seal)[0]["pid"] for seal in seals]
    assert len(set(started)) == 3


def test_a_bundle_runs_in_one_child(trials, tmp_path):
    seals = trials(3)
    ended(worker(submitted(tmp_path, [seals]), "--task", "0"))
    assert len({attempts(tmp_path, seal)[0]["pid"] for seal in seals}) == 1


def test_of_many_workers_each_trial_runs_once(trials, tmp_path):
    seals = trials(6)
    made = submitted(tmp_path, [[seal] for seal in seals])
    for process in [worker(made, "--task", str(task)) for task in range(4)]:
        ended(process)
    assert statuses(tmp_path, seals) == [["finished"]] * 6


def test_a_trial_of_no_sweep(trials, tmp_path):
    (seal,) = trials(1)
    command = [sys.executable, "-m", "persona_exp.launch.workers", "--seal", str(tmp_path / "runs" / "trials" / seal)]
    subprocess.run(command, check=True)
    assert statuses(tmp_path, [seal]) == [["finished"]]


def test_a_killed_child_is_recorded_and_tried_again(trials, tmp_path):
    seals = trials(2)
    process = worker(submitted(tmp_path, [[seal] for seal in seals]), "--task", "0", **LASTING)
    os.kill(running(tmp_path, seals[0]), signal.SIGKILL)
    ended(process)
    first, second = attempts(tmp_path, seals[0])
    assert (first["status"], first["cause"], second["status"]) == ("interrupted", "killed", "finished")
    assert "SIGKILL" in first["message"]
    assert statuses(tmp_path, seals[1:]) == [["finished"]]


def test_a_trial_that_is_killed_three_times_fails_and_the_others_go_on(trials, tmp_path):
    seals = trials(2)
    process = worker(submitted(tmp_path, [[seal] for seal in seals]), "--task", "0", **LASTING)
    for attempt in (1, 2, 3):
        until(lambda number=attempt: len(attempts(tmp_path, seals[0])) == number)
        os.kill(running(tmp_path, seals[0]), signal.SIGKILL)
    ended(process, 1)
    assert [one["cause"] for one in attempts(tmp_path, seals[0])] == ["killed"] * 3
    assert statuses(tmp_path, seals) == [["interrupted", "interrupted", "failed"], ["finished"]]


def alive(pid):
    return process_started(pid) is not None


def test_a_killed_worker_leaves_its_trial_to_the_next(trials, tmp_path):
    (seal,) = trials(1)
    made = submitted(tmp_path, [[seal]])
    process = worker(made, "--task", "0", **LASTING)
    child = running(tmp_path, seal)
    stop(process)
    until(lambda: not alive(child))
    assert attempts(tmp_path, seal)[0]["cause"] == "signal"
    ended(worker(made, "--task", "0"))
    assert statuses(tmp_path, [seal]) == [["interrupted", "finished"]]


def test_a_signal_saves_and_leaves(trials, tmp_path):
    seals = trials(2)
    process = worker(submitted(tmp_path, [[seal] for seal in seals]), "--task", "0", **LASTING)
    running(tmp_path, seals[0])
    process.send_signal(signal.SIGTERM)
    ended(process, 75)
    assert statuses(tmp_path, seals) == [["interrupted"], []]


def test_a_signal_while_another_task_is_open_leaves_though_a_trial_failed(trials, tmp_path):
    seals = trials(3)
    with (directory_of(tmp_path, seals[0]) / "config.yaml").open("a") as file:
        file.write("# edited\n")
    process = worker(submitted(tmp_path, [[seal] for seal in seals]), "--task", "0", **LASTING)
    begun = until(lambda: [seal for seal in seals[1:] if attempts(tmp_path, seal)])
    (directory_of(tmp_path, begun[0]) / "cancel.json").write_text("{}")
    process.send_signal(signal.SIGTERM)
    ended(process, 75)
    assert sorted(statuses(tmp_path, seals)) == [[], ["failed"], ["interrupted"]]


def test_a_worker_whose_trial_was_cancelled_and_that_is_told_to_stop_ends_for_good(trials, tmp_path):
    """With 75, its job would go back into the queue."""
    (seal,) = trials(1)
    process = worker(submitted(tmp_path, [[seal]]), "--task", "0", PERSONA_EXP_NOOP_SECONDS="30")
    running(tmp_path, seal)
    (directory_of(tmp_path, seal) / "cancel.json").write_text("{}")
    process.send_signal(signal.SIGTERM)
    ended(process, 1)
    assert [(one["status"], one["cause"]) for one in attempts(tmp_path, seal)] == [("interrupted", "cancelled")]


@pytest.mark.parametrize("of_a_sweep", [False, True])
def test_stopped_once_too_often_without_anything_saved_a_trial_fails(trials, tmp_path, of_a_sweep):
    (seal,) = trials(1)
    path = leave_running(tmp_path, seal, status="interrupted", cause="signal")
    for number in range(2, 10):
        path.with_name(f"{number:04}.json").write_text(json.dumps(json.loads(path.read_text()) | {"attempt": number}))
    given = [str(submitted(tmp_path, [[seal]]).path), "--task", "0"] if of_a_sweep else ["--seal", str(tmp_path / "runs" / "trials" / seal)]
    command = [sys.executable, "-m", "persona_exp.launch.workers", *given]
    process = subprocess.Popen(command, env={**os.environ, **LASTING}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    until(lambda: attempts(tmp_path, seal)[-1]["attempt"] == 10)
    process.send_signal(signal.SIGTERM)
    # Not 75: its job must not be put back.
    assert "stopped 10 times (signal)" in ended(process, 1)
    assert statuses(tmp_path, [seal]) == [["interrupted"] * 9 + ["failed"]]
    assert "hydra.launcher.timeout_min" in attempts(tmp_path, seal)[-1]["message"]
    assert allow_retry(TrialDirectory(directory_of(tmp_path, seal)))
    ended(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
    assert attempts(tmp_path, seal)[-1]["status"] == "finished"


def test_a_broken_seal_fails_its_trial_and_stops_no_other(trials, tmp_path):
    seals = trials(2)
    with (directory_of(tmp_path, seals[0]) / "config.yaml").open("a") as file:
        file.write("# edited\n")
    ended(worker(submitted(tmp_path, [[seal] for seal in seals]), "--task", "0"), 1)
    assert statuses(tmp_path, seals) == [["failed"], ["finished"]]
    assert attempts(tmp_path, seals[0])[0]["cause"] == "seal"


def test_three_failures_alike_hold_the_sweep(trials, tmp_path):
    seals = trials(5)
    for seal in seals[:3]:
        with (directory_of(tmp_path, seal) / "config.yaml").open("a") as file:
            file.write("# edited\n")
    made = submitted(tmp_path, [[seal] for seal in seals])
    ended(worker(made, "--task", "0"), 1)
    assert statuses(tmp_path, seals) == [["failed"]] * 3 + [[], []]
    assert sweep_hold.read(made.sweep_folder)["cause"] == "seal"
    sweep_hold.remove(made.sweep_folder)
    ended(worker(made, "--task", "3"))
    assert statuses(tmp_path, seals[3:]) == [["finished"]] * 2


def test_a_child_whose_code_was_changed_does_not_even_start(trials, tmp_path):
    (seal,) = trials(1)
    (code,) = (tmp_path / "runs" / "code").iterdir()
    shared = code.resolve()
    code.unlink()
    shutil.copytree(shared, code)
    (code / "persona_exp" / "trial" / "__main__.py").unlink()
    output = ended(worker(submitted(tmp_path, [[seal]]), "--task", "0"), 1)
    assert "is not what was sealed" in output
    assert attempts(tmp_path, seal)[0]["cause"] == "seal"


def test_a_cancelled_trial_is_passed_over_and_a_running_one_leaves(trials, tmp_path):
    seals = trials(3)
    (directory_of(tmp_path, seals[1]) / "cancel.json").write_text("{}")
    process = worker(submitted(tmp_path, [[seal] for seal in seals]), "--task", "0", PERSONA_EXP_NOOP_SECONDS="8")
    running(tmp_path, seals[0])
    (directory_of(tmp_path, seals[0]) / "cancel.json").write_text("{}")
    running(tmp_path, seals[2])
    assert statuses(tmp_path, seals[:2]) == [["interrupted"], []]
    assert attempts(tmp_path, seals[0])[0]["cause"] == "cancelled"
    stop(process)


def test_it_waits_for_nobody_who_is_alive(trials, tmp_path):
    seals = trials(2)
    own = {"host": node_name(), "pid": os.getpid(), "process_started": process_started(os.getpid())}
    leave_running(tmp_path, seals[1], **own)
    made = submitted(tmp_path, [[seal] for seal in seals], lease_seconds=3000)
    began = time.monotonic()
    ended(worker(made, "--task", "0"))
    assert time.monotonic() - began < 300
    assert statuses(tmp_path, seals) == [["finished"], ["running"]]


def test_it_watches_a_suspicious_heartbeat_for_a_lease_and_takes_over(trials, tmp_path):
    seals = trials(2)
    leave_running(tmp_path, seals[1])
    ended(worker(submitted(tmp_path, [[seal] for seal in seals], lease_seconds=2), "--task", "0"))
    assert statuses(tmp_path, seals) == [["finished"], ["running", "finished"]]


def test_a_requeued_task_finds_its_predecessor_dead_at_once(trials, tmp_path):
    (seal,) = trials(1)
    job = {"id": "7", "array_id": None, "task_id": None, "restarts": 0, "name": "x"}
    leave_running(tmp_path, seal, job=job)
    made = submitted(tmp_path, [[seal]], lease_seconds=600)
    slurm = {"SLURM_JOB_ID": "7", "SLURM_RESTART_COUNT": "1", "SLURM_JOB_NAME": "x", "SLURMD_NODENAME": "another"}
    ended(worker(made, "--task", "0", **slurm), seconds=30)
    assert [one["status"] for one in attempts(tmp_path, seal)] == ["running", "finished"]
    assert attempts(tmp_path, seal)[1]["previous"]["cause"] == "preempted"


def test_a_worker_whose_node_came_back_is_fenced_and_goes_on_with_others(trials, tmp_path):
    seals = trials(2)
    made = submitted(tmp_path, [[seal] for seal in seals])
    stale = worker(made, "--task", "0", PERSONA_EXP_NOOP_SECONDS="2", SLURMD_NODENAME="away")
    pid = running(tmp_path, seals[0])
    os.kill(pid, signal.SIGSTOP)
    # Elsewhere its heartbeat stands still: another takes the trial over.
    ended(worker(made, "--task", "0", SLURMD_NODENAME="here"))
    os.kill(pid, signal.SIGCONT)
    ended(stale)
    first, second = attempts(tmp_path, seals[0])
    assert (first["status"], first["cause"], second["status"]) == ("interrupted", "superseded", "finished")
    assert all(told[-1]["status"] == "finished" for told in (attempts(tmp_path, seal) for seal in seals))


def test_the_memory_of_the_machine_running_out_halves_the_micro_batch(trials, tmp_path):
    (seal,) = trials(1)
    leave_running(tmp_path, seal, status="failed", cause="out_of_memory", micro_batch_size=4)
    ended(worker(submitted(tmp_path, [[seal]]), "--task", "0"))
    assert [one.get("micro_batch_size") for one in attempts(tmp_path, seal)] == [4, 2]


def test_workers_that_begin_at_the_same_moment_do_not_all_choose_the_same(trials, tmp_path):
    seals = trials(4)
    made = submitted(tmp_path, [[f"{task:012x}/seals/00000000.json"] for task in range(3)] + [[seal] for seal in seals])
    from persona_exp.launch.workers.worker_tasks import tasks_of_submission

    chosen = set()
    for task in range(3):
        one = Worker(tasks_of_submission(submission_record.read(made.path)), None, task=task)
        one.ended = {seal: "finished" for seal in one._tasks.seals if seal.startswith("0000")}
        chosen.add(one._next_batch()[0][0])
    assert len(chosen) == 3


def test_deaths_that_nobody_saw_are_found_out_and_counted(trials, tmp_path):
    (seal,) = trials(1)
    made = submitted(tmp_path, [[seal]])
    for number in (1, 2, 3):
        process = worker(made, "--task", "0", **LASTING)
        until(lambda number=number: len(attempts(tmp_path, seal)) == number)
        child = running(tmp_path, seal)
        os.kill(child, signal.SIGSTOP)
        stop(process)
        os.kill(child, signal.SIGKILL)
        until(lambda child=child: not alive(child))
    ended(worker(made, "--task", "0"), 1)
    assert statuses(tmp_path, [seal]) == [["running", "running", "failed"]]
    assert attempts(tmp_path, seal)[-1]["cause"] == "killed"
