"""Workers as jobs: requeued, submitted again, cancelled; the canary and those behind it. On the fake Slurm."""

import sys

import pytest

from persona_exp.launch.recovery import sweep_hold
from persona_exp.launch.recovery.failed_nodes import failed_twice, note_failed_node
from persona_exp.launch.slurm import slurm_queue, submit_and_cancel
from persona_exp.launch.sweeps import job_arrays, submission_record
from persona_exp.launch.sweeps.job_arrays import submit_jobs
from tests.launch.rehearsed import attempts, running, sealed, status
from tests.slurm.site import fake_site

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("one_copy_of_the_code")]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with fake_site(tmp_path_factory.mktemp("slurm"), minute=60, kill_wait=5, grace=5) as made:
        yield made


@pytest.fixture
def without_scontrol(tmp_path_factory, monkeypatch):
    """A site whose compute nodes have no scontrol."""
    with fake_site(tmp_path_factory.mktemp("bare"), scontrol_in_jobs=False, kill_wait=5) as made:
        for name, value in made.environment.items():
            monkeypatch.setenv(name, value)
        yield made
        made.clear()


@pytest.fixture
def site(cluster, monkeypatch):
    for name, value in cluster.environment.items():
        monkeypatch.setenv(name, value)
    yield cluster
    cluster.clear()


@pytest.fixture
def sweep(config, tmp_path, monkeypatch):
    """`sweep(3)`: three trials handed to Slurm, one a task; the submission, its jobs and the seals."""

    def hand_in(number, *, seconds="3", canary=False, breaking=(), at_once=8):
        monkeypatch.setenv("PERSONA_EXP_NOOP_SECONDS", seconds)
        seals = sealed(config, tmp_path, number)
        for place in breaking:
            with (tmp_path / "runs" / "trials" / seals[place].split("/")[0] / "config.yaml").open("a") as file:
                file.write("# edited\n")
        (code,) = (tmp_path / "runs" / "code").iterdir()
        launch = {"python": sys.executable, "code_folder": code.name, "array_parallelism": at_once, "keeper": False}
        launch |= {"keeper_partition": None, "max_rounds": 3, "trials_per_task": None, "lease_seconds": 2.0}
        options = {"sbatch": {"timeout_min": 60, "partition": "low", "stderr_to_stdout": True}, "launch": launch}
        folder = tmp_path / "runs" / "sweeps" / "rehearsal"
        made = submission_record.draft(folder, launcher="slurm", tasks=[[seal] for seal in seals], options=options, canary=canary)
        assert submission_record.create(made)
        return made, submit_jobs(made), seals

    return hand_in


def until_over(site, tmp_path, seals, expected, seconds=60):
    def all_so():
        return [[(one["status"], one.get("cause")) for one in attempts(tmp_path, seal)] for seal in seals] == expected

    try:
        site.until(all_so, seconds)
    except AssertionError:
        raise AssertionError([attempts(tmp_path, seal) for seal in seals]) from None


FINISHED, STOPPED = ("finished", None), ("interrupted", "signal")


def test_a_preempted_task_saves_comes_back_and_goes_on(site, sweep, tmp_path):
    made, jobs, seals = sweep(2, at_once=1, seconds="4")
    running(tmp_path, seals[0])
    site.run("scancel", "--signal=USR2", f"{jobs['arrays'][0]['id']}_0")
    until_over(site, tmp_path, seals, [[STOPPED, FINISHED], [FINISHED]])
    assert [one.by["who"] for one in submission_record.all_submissions(made.sweep_folder)] == ["person"]


def test_a_node_that_fails_costs_nothing_but_time(site, sweep, tmp_path):
    _, _, seals = sweep(1, seconds="4")
    running(tmp_path, seals[0])
    site.fail(attempts(tmp_path, seals[0])[0]["host"])
    site.until(lambda: status(tmp_path, seals[0]) == "finished", 60)
    assert len(attempts(tmp_path, seals[0])) == 2


def test_a_node_that_went_down_is_noted_without_accounting(site, sweep, tmp_path):
    site.run("fakeslurm", "set", "accounting", "false")
    try:
        made, _, seals = sweep(2, seconds="6")
        (host,) = {running(tmp_path, seal) and attempts(tmp_path, seal)[0]["host"] for seal in seals}
        # Its processes go on, as far as they can tell: none of them has a last word.
        site.run("fakeslurm", "fail", host, "leave")
        site.until(lambda: [status(tmp_path, seal) for seal in seals] == ["finished"] * 2, 60)
    finally:
        site.run("fakeslurm", "set", "accounting", "true")
        for name in ("node1", "node2", "node3"):
            site.repair(name)
    # Both were on it, and it failed once.
    assert [attempts(tmp_path, seal)[1]["previous"]["cause"] for seal in seals] == ["node_failed"] * 2
    assert [path.parent.name for path in (made.sweep_folder / "failed-nodes").glob("*/*")] == [host]
    assert failed_twice(made.sweep_folder) == []


def test_what_a_person_cancels_does_not_come_back(site, sweep, tmp_path):
    made, jobs, seals = sweep(1, seconds="30")
    running(tmp_path, seals[0])
    submit_and_cancel.cancel([jobs["arrays"][0]["id"]])
    until_over(site, tmp_path, seals, [[STOPPED]])
    site.until(lambda: slurm_queue.queued([made.job_name]) == [])
    assert [one.by["who"] for one in submission_record.all_submissions(made.sweep_folder)] == ["person"]
    assert [one["status"] for one in attempts(tmp_path, seals[0])] == ["interrupted"]


def test_where_scontrol_is_missing_the_task_is_submitted_again(without_scontrol, sweep, tmp_path):
    site = without_scontrol
    made, jobs, seals = sweep(2, at_once=2, seconds="4")
    running(tmp_path, seals[1])
    site.run("scancel", "--signal=USR2", f"{jobs['arrays'][0]['id']}_1")
    site.until(lambda: [status(tmp_path, seal) for seal in seals] == ["finished"] * 2, 60)
    assert [one.by["who"] for one in submission_record.all_submissions(made.sweep_folder)] == ["person", "worker"]


def test_a_canary_that_sings_lets_the_others_go_before_it_ends(site, sweep, tmp_path):
    _, _, seals = sweep(3, canary=True, seconds="8")
    running(tmp_path, seals[0])
    running(tmp_path, seals[1])
    assert status(tmp_path, seals[0]) == "running"


def test_a_canary_that_fails_holds_the_sweep_and_calls_the_others_off(site, sweep, tmp_path):
    made, _, seals = sweep(3, canary=True, breaking=[0])
    site.until(lambda: sweep_hold.read(made.sweep_folder), 60)
    site.until(lambda: slurm_queue.queued([made.job_name]) == [])
    assert [len(attempts(tmp_path, seal)) for seal in seals] == [1, 0, 0]


def test_a_canary_whose_job_dies_before_it_begins_holds_the_sweep(site, sweep, tmp_path, monkeypatch):
    # Its worker ends at once, with 2: the others find nothing of it but its absence.
    monkeypatch.setattr(job_arrays, "worker_script", dying(job_arrays.worker_script))
    made, jobs, seals = sweep(3, canary=True)
    held = site.until(lambda: sweep_hold.read(made.sweep_folder), 60)
    assert held["cause"] == "start"
    assert f"job {jobs['canary']} ended with exit code 2:0 before its trial began" in held["message"]
    assert "there is no task 99" in held["message"]
    site.until(lambda: slurm_queue.queued([made.job_name]) == [])
    assert [len(attempts(tmp_path, seal)) for seal in seals] == [0, 0, 0]
    assert "the sweep is held" in "".join(path.read_text() for path in (made.folder / "logs").iterdir())


def dying(script):
    return lambda *given, **named: script(*given, **named).replace("--task 0", "--task 99")


def test_a_node_that_failed_twice_is_left_for_another(site, sweep, tmp_path):
    made, _, seals = sweep(1, canary=True, seconds="4")
    running(tmp_path, seals[0])
    first = attempts(tmp_path, seals[0])[0]
    for boot in "ab":
        note_failed_node(made.sweep_folder, {"host": first["host"], "process_started": boot})
    site.run("scontrol", "requeue", first["job"]["id"])
    site.until(lambda: status(tmp_path, seals[0]) == "finished", 60)
    assert attempts(tmp_path, seals[0])[-1]["host"] != first["host"]
