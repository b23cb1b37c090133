"""What the launcher relies on, held by the fake and by a real Slurm alike."""

import itertools
import json
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from persona_exp.errors import UserError
from persona_exp.launch.slurm import site_limits, slurm_accounting, slurm_queue, submit_and_cancel
from persona_exp.launch.slurm.sbatch_script import script
from tests.conftest import ROOT
from tests.slurm.site import Site

NUMBERS = itertools.count(1)


class Bench:
    """Jobs that run worker.py, each under a name of its own, and what they wrote down."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.site, self.folder = site, folder
        # Slurm reads patterns in the names of files, and shells read blanks.
        self.logs = folder / "50% of logs"
        self.logs.mkdir(exist_ok=True)
        self.name = f"pe-{folder.name[:8]}-{next(NUMBERS)}"

    def text(self, *flags: str, array: tuple[int, int] | None = None, dependency: str | None = None, **options: Any) -> str:
        command = shlex.join([sys.executable, str(ROOT / "tests/slurm/worker.py"), str(self.folder), *flags])
        return script(
            command,
            folder=self.logs,
            name=self.name,
            options={"timeout_min": 10, "partition": "low", "stderr_to_stdout": True, **options},
            array=array,
            parallelism=options.get("array_parallelism", 256),
            dependency=dependency,
            environment={"PYTHONPATH": str(ROOT)},
        )

    def submit(self, *flags: str, **options: Any) -> str:
        return submit_and_cancel.submit(self.text(*flags, **options), self.folder / "job.sbatch")

    def events(self, name: str = "parent-0") -> list[dict[str, Any]]:
        file = self.folder / f"{name}.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def wait(self, what: str, name: str = "parent-0") -> dict[str, Any]:
        """Wait for an event (`start`, `end`) or a signal (`SIGTERM`) of a run; it."""
        return self.site.until(lambda: next((one for one in self.events(name) if what in (one["event"], one.get("name"))), None) or {})

    def state(self, id: str) -> str:
        found = slurm_queue.job(id)
        return found.state if found else ""

    def until_state(self, id: str, state: str) -> None:
        self.site.until(lambda: self.state(id) == state)

    def history(self, id: str, *states: str) -> list[slurm_accounting.Ended]:
        """The runs of a job, once they have ended in these states; the accounting is some seconds behind."""

        def runs() -> list[slurm_accounting.Ended]:
            found = [run for run in slurm_accounting.history([id]) or [] if run.name == self.name]
            return found if [run.state for run in found] == list(states) else []

        return self.site.until(runs)


@pytest.fixture
def bench(site: Site, tmp_path: Path) -> Bench:
    return Bench(site, tmp_path)


def test_a_job_runs_and_is_told_of_while_and_after(bench: Bench) -> None:
    id = bench.submit("--seconds=1", cpus_per_task=2, gpus_per_node=2, comment="a, b | c")
    start = bench.wait("start")
    assert start["job"] == {"id": id, "array_id": None, "task_id": None, "restarts": 0, "name": bench.name}
    assert (start["cores"], start["gpus"]) == ("2", "0,1")
    (running,) = slurm_queue.queued([bench.name]) or []
    assert (running.id, running.label, running.array_id, running.state, running.comment) == (id, id, None, "RUNNING", "a, b | c")
    assert running.node == start["node"]
    assert running.seconds_left is not None
    bench.until_state(id, "COMPLETED")
    assert slurm_queue.queued([bench.name]) == []
    assert [file.name for file in bench.logs.iterdir()] == [f"{id}_0_log.out"]
    (run,) = bench.history(id, "COMPLETED")
    assert (run.id, run.exit_code, run.signal, run.node, run.alloc_gpus) == (id, 0, 0, start["node"], 2)
    assert run.start is not None
    assert abs(run.start - start["time"]) < 5
    assert run.end is not None


@pytest.mark.parametrize("options", [{}, {"teardown": ["echo over"]}, {"use_srun": False}], ids=["srun", "teardown", "no srun"])
def test_a_worker_that_fails_is_a_failed_job(bench: Bench, options: dict[str, Any]) -> None:
    id = bench.submit("--seconds=0", "--code=3", **options)
    bench.until_state(id, "FAILED")
    (run,) = bench.history(id, "FAILED")
    assert run.exit_code == 3


def test_an_array_waits_as_one_line_and_runs_as_tasks(bench: Bench) -> None:
    first = bench.submit("--seconds=60")
    id = bench.submit("--seconds=60", array=(2, 5), array_parallelism=2, dependency=f"afterany:{first}")
    (waiting,) = [job for job in slurm_queue.queued([bench.name]) or [] if job.array_id]
    assert (waiting.array_id, waiting.task_id, waiting.tasks, waiting.state) == (id, None, "2-5%2", "PENDING")
    submit_and_cancel.cancel([first])
    bench.wait("start", "parent-3-0")
    bench.site.until(lambda: sum(job.state == "RUNNING" for job in slurm_queue.queued([bench.name]) or []) == 2)
    jobs = [job for job in slurm_queue.queued([bench.name]) or [] if job.array_id == id]
    assert {job.label: job.tasks for job in jobs} == {f"{id}_2": "", f"{id}_3": "", f"{id}_[4-5]": "4-5%2"}
    started = bench.wait("start", "parent-2-0")["job"]
    assert (started["array_id"], started["task_id"]) == (id, 2)
    assert started["id"] == next(job.id for job in jobs if job.task_id == 2)
    submit_and_cancel.cancel([id], pending_only=True)
    bench.site.until(lambda: len(slurm_queue.queued([bench.name]) or []) == 2)
    submit_and_cancel.cancel([f"{id}_2"])
    bench.site.until(lambda: [job.task_id for job in slurm_queue.queued([bench.name]) or []] == [3])


def test_only_jobs_of_the_name_are_told(bench: Bench, tmp_path: Path) -> None:
    other = Bench(bench.site, tmp_path)
    bench.submit("--seconds=30")
    other.submit("--seconds=30")
    assert len(slurm_queue.queued([bench.name]) or []) == 1
    assert len(slurm_queue.queued([bench.name, other.name]) or []) == 2
    assert slurm_queue.queued([]) == slurm_queue.queued(["pe-none"]) == []


def test_settings_of_a_job_around_the_launcher_do_not_reach_its_jobs(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SBATCH_PARTITION", "nowhere")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "7")
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "5")
    id = bench.submit("--seconds=0")
    start = bench.wait("start")
    assert (start["job"]["id"], start["job"]["task_id"], start["cores"]) == (id, None, None)


def test_a_signal_reaches_the_worker_and_its_child(bench: Bench) -> None:
    id = bench.submit("--child")
    bench.wait("start")
    bench.wait("start", "child-0")
    bench.site.run("scancel", "--signal=USR2", id)
    assert bench.wait("SIGUSR2")["cancelled"] is False
    bench.wait("SIGUSR2", "child-0")
    assert bench.state(id) == "RUNNING"


def test_without_srun_the_shell_passes_its_signals_on(bench: Bench) -> None:
    id = bench.submit(use_srun=False)
    bench.wait("start")
    bench.site.run("scancel", "--batch", "--signal=USR2", id)
    bench.wait("SIGUSR2")
    assert bench.state(id) == "RUNNING"
    submit_and_cancel.cancel([id])
    assert bench.wait("SIGTERM")["cancelled"] is True


@pytest.mark.parametrize("accounting", ["accounting", "--blind"])
@pytest.mark.parametrize("array", [None, (0, 0)], ids=["job", "task"])
def test_a_job_that_a_person_cancelled_never_comes_back(bench: Bench, accounting: str, array: tuple[int, int] | None) -> None:
    name = "parent-0-0" if array else "parent-0"
    id = bench.submit("--requeue", *([accounting] if accounting == "--blind" else []), array=array)
    bench.wait("start", name)
    submit_and_cancel.cancel([id])
    last = bench.wait("SIGTERM", name)
    assert (last["cancelled"], last["requeued"]) == (True, False)
    bench.until_state(id, "CANCELLED")
    bench.history(id, "CANCELLED")


@pytest.mark.parametrize("flags", [[], ["--blind"], ["--exclude"]], ids=["accounting", "blind", "exclude"])
def test_a_job_requeues_itself(bench: Bench, flags: list[str]) -> None:
    id = bench.submit("--requeue", *flags, array=(0, 1))
    for task in (0, 1):
        bench.wait("start", f"parent-{task}-0")
    bench.site.run("scancel", "--signal=USR2", f"{id}_0")
    asked = bench.wait("SIGUSR2", "parent-0-0")
    assert (asked["cancelled"], asked["requeued"]) == (False, True)
    # Slurm's own TERM follows: it is no person's.
    assert bench.wait("SIGTERM", "parent-0-0")["cancelled"] is False
    before, after = bench.wait("start", "parent-0-0"), bench.wait("start", "parent-0-1")
    assert after["job"] == {**before["job"], "restarts": 1}
    assert flags != ["--exclude"] or after["node"] != before["node"]
    assert not bench.events("parent-1-1")
    bench.history(f"{id}_0", "REQUEUED", "COMPLETED")
    # Its output is behind that of its first run, not in its place.
    told = (bench.logs / f"{id}_0_0_log.out").read_text()
    assert [line for line in told.splitlines() if line.startswith("run ")] == ["run parent-0-0", "run parent-0-1"]


def test_a_preempted_array_task_is_told_and_runs_again(bench: Bench) -> None:
    id = bench.submit("--blind", array=(0, 1), signal_delay_s=20)
    for task in (0, 1):
        bench.wait("start", f"parent-{task}-0")
    bench.site.preempt(f"{id}_0")
    assert bench.wait("SIGUSR2", "parent-0-0")["cancelled"] is False
    assert bench.wait("SIGTERM", "parent-0-0")["cancelled"] is False
    assert bench.wait("start", "parent-0-1")["job"]["restarts"] == 1
    bench.history(f"{id}_0", "PREEMPTED", "COMPLETED")


def test_jobs_of_a_node_that_failed_run_again(bench: Bench) -> None:
    id = bench.submit(array=(0, 0))
    node = bench.wait("start", "parent-0-0")["node"]
    bench.site.fail(node)
    try:
        assert bench.wait("start", "parent-0-1")["node"] != node
        bench.history(f"{id}_0", "NODE_FAIL", "COMPLETED")
    finally:
        bench.site.repair(node)


@pytest.mark.long
def test_a_time_limit_is_no_cancellation(bench: Bench) -> None:
    id = bench.submit("--blind", timeout_min=1, signal_delay_s=20)
    bench.wait("start")
    # Slurm looks at the clock now and then only: a minute may last for one and a half.
    bench.site.until(lambda: len(bench.events()) > 2, seconds=150)
    assert bench.wait("SIGUSR2")["cancelled"] is False
    assert bench.wait("SIGTERM")["cancelled"] is False
    bench.until_state(id, "TIMEOUT")


def test_a_controller_that_is_down_leaves_everything_open(bench: Bench) -> None:
    id = bench.submit("--seconds=60")
    bench.wait("start")
    with bench.site.controller_down():
        assert slurm_queue.queued([bench.name]) is None
        assert slurm_queue.job(id) is None
        with pytest.raises(UserError, match=r"Slurm did not take .*; the same command later goes on"):
            bench.submit()
    assert len(slurm_queue.queued([bench.name]) or []) == 1


def test_what_waits_is_released(bench: Bench) -> None:
    first = bench.submit("--seconds=60")
    id = bench.submit("--seconds=0", array=(0, 1), dependency=f"afterany:{first}")
    bench.site.until(lambda: any(job.reason == "Dependency" for job in slurm_queue.queued([bench.name]) or []))
    submit_and_cancel.end_dependency(id)
    bench.wait("end", "parent-0-0")
    bench.wait("end", "parent-1-0")
    assert bench.state(first) == "RUNNING"


def test_what_is_held_waits(bench: Bench) -> None:
    first = bench.submit("--seconds=60")
    id = bench.submit("--seconds=0", array=(0, 1), dependency=f"afterany:{first}")
    bench.site.run("scontrol", "hold", id)
    # What the canary does lifts no hold of a person's.
    submit_and_cancel.end_dependency(id)
    submit_and_cancel.cancel([first])
    bench.site.until(lambda: [job.state for job in slurm_queue.queued([bench.name]) or []] == ["PENDING"])
    assert (bench.state(id), bench.events("parent-0-0")) == ("PENDING", [])
    submit_and_cancel.release(id)
    bench.wait("end", "parent-0-0")


def test_a_refusal_is_told_in_slurms_words(bench: Bench) -> None:
    with pytest.raises(UserError, match=r"Slurm did not take .*job\.sbatch: .*nvalid partition"):
        bench.submit(partition="nowhere")
    with pytest.raises(UserError, match="nvalid partition"):
        submit_and_cancel.test_only(bench.text(partition="nowhere"), bench.folder / "test.sbatch")
    assert "to start at" in submit_and_cancel.test_only(bench.text(), bench.folder / "test.sbatch")
    with pytest.raises(UserError, match="Invalid job array specification"):
        bench.submit(array=(0, 10**6))
    assert slurm_queue.queued([bench.name]) == []


def test_what_has_ended_is_cancelled_without_complaint(bench: Bench) -> None:
    id = bench.submit("--seconds=0")
    bench.until_state(id, "COMPLETED")
    submit_and_cancel.cancel([id, "999999"])
    assert bench.state(id) == "COMPLETED"
    assert [run.state for run in bench.history(id, "COMPLETED")] == ["COMPLETED"]


def test_the_limits_of_the_site_are_read(site: Site) -> None:
    told = site_limits.limits("main")
    assert told.max_array_size == (1001 if site.fake else 10001)
    assert told.max_submit_jobs is None
    assert told.gpu_memory_gb == 80
