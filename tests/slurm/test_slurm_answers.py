"""What Slurm answers, as several of its releases and sites write it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from persona_exp.launch.slurm import requeue, site_limits, slurm_accounting, slurm_command, slurm_queue, submit_and_cancel

Stub = Callable[..., Path]


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stub:
    """`stub("squeue", "text", code=0)`: a command that answers with it, the only ones that there are."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    for name in ("sbatch", "scancel", "squeue", "sacct", "scontrol", "sinfo", "sacctmgr"):
        (tmp_path / name).write_text(f"#!/bin/bash\necho '{name}: error: not stubbed' >&2\nexit 1\n")
        (tmp_path / name).chmod(0o755)

    def make(name: str, out: str = "", *, error: str = "", code: int = 0, sleep: float = 0) -> Path:
        answer = tmp_path / f"{name}.out"
        answer.write_text(out)
        (tmp_path / name).write_text(
            f"#!/bin/bash\necho \"$@\" >> {tmp_path}/calls\nsleep {sleep}\ncat {answer}\necho '{error}' >&2\nexit {code}\n"
        )
        return tmp_path / "calls"

    return make


def fields(*values: str) -> str:
    return slurm_command.SEPARATOR.join(values) + "\n"


def test_a_queue_of_every_kind_is_read_in_one_call(stub: Stub) -> None:
    lines = [
        fields("12", "12", "12", "N/A", "RUNNING", "None", "node1", "1-02:03:04", "pe-a-1", "what, ever|else"),
        fields("20", "20_[0-7,9,11-999%256]", "20", "0-7,9,11-999", "PENDING", "Dependency", "", "10:00", "pe-a-1", "(null)"),
        fields("31", "30_4", "30", "4", "RUNNING", "None", "gpu[01-02]", "UNLIMITED", "pe-a-1", ""),
        # Requeued: pending, and a task all the same.
        fields("32", "30_5", "30", "5", "PENDING", "BeginTime", "", "INVALID", "pe-a-1", ""),
        # squeue cuts long expressions of tasks short.
        fields("40", "40_[1,3,5,...]", "40", "1,3,5", "PENDING", "Resources", "", "NOT_SET", "pe-a-1", ""),
        fields("50", "50", "50", "N/A", "RUNNING", "None", "node1", "0:10", "another", ""),
        "a warning on standard output\n",
    ]
    calls = stub("squeue", "".join(lines))
    told = slurm_queue.queued(["pe-a-1", "pe-a-2"]) or []
    assert [job.label for job in told] == ["12", "20_[0-7,9,11-999]", "30_4", "30_5", "40_[1,3,5,...]"]
    assert [job.task_id for job in told] == [None, None, 4, 5, None]
    assert [job.seconds_left for job in told] == [93784, 600, None, None, None]
    assert [job.node for job in told] == ["node1", None, "gpu[01-02]", None, None]
    assert (told[0].comment, told[1].comment, told[1].tasks) == ("what, ever|else", "", "0-7,9,11-999%256")
    assert len(calls.read_text().splitlines()) == 1


def test_a_history_of_every_kind_is_read(stub: Stub) -> None:
    lines = [
        fields(
            "12",
            "12",
            "CANCELLED by 1000",
            "0:15",
            "node1",
            "61",
            "billing=4,cpu=4,gres/gpu:a100=2,node=1",
            "1700000000",
            "1700000061",
            "a",
        ),
        fields("12", "12", "RUNNING", "0:0", "node2", "5", "cpu=4,gres/gpu=2,gres/gpu:a100=2", "1700000100", "Unknown", "a"),
        fields("31", "30_4", "OUT_OF_MEMORY", "0:125", "node1", "7", "", "1700000000", "1700000007", "b"),
        fields("30", "30_[5-9]", "PENDING", "0:0", "None assigned", "0", "", "Unknown", "Unknown", "b"),
    ]
    stub("sacct", "".join(lines))
    told = slurm_accounting.history(["12", "30"]) or []
    assert [(run.state, run.signal, run.alloc_gpus, run.end) for run in told] == [
        ("CANCELLED", 15, 2, 1700000061),
        ("RUNNING", 0, 2, None),
        ("OUT_OF_MEMORY", 125, 0, 1700000007),
        ("PENDING", 0, 0, None),
    ]
    assert [(run.array_id, run.task_id, run.node) for run in told[2:]] == [("30", 4, "node1"), ("30", None, None)]


def test_without_an_answer_nothing_is_claimed(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    stub("sacct", error="Slurm accounting storage is disabled", code=1)
    stub("squeue", error="slurm_load_jobs error: Unable to contact slurm controller (connect failure)", code=1)
    assert slurm_accounting.history(["1"]) is None
    assert slurm_queue.queued(["a"]) is None
    assert slurm_queue.job("1") is None
    stub("squeue", sleep=5)
    assert slurm_command.ask(["squeue"], seconds=0.2) is None
    monkeypatch.setenv("PATH", "/nowhere")
    assert slurm_accounting.history(["1"]) is slurm_queue.queued(["a"]) is slurm_queue.job("1") is None
    assert not slurm_queue.at_hand()
    assert site_limits.limits(None) == site_limits.Limits(1001, None, None)


def shown(**given: str) -> str:
    fields = {"JobId": "7", "JobName": "pe", "JobState": "COMPLETING", "Reason": "None", "Restarts": "1", "PreemptTime": "None", **given}
    return " ".join(f"{name}={value}" for name, value in fields.items())


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (shown(), True),
        (shown(JobState="CANCELLED"), True),
        # As newer releases may write it.
        (shown(JobState="CANCELLED,COMPLETING"), True),
        (shown(JobState="RUNNING"), False),
        (shown(JobState="RUNNING", PreemptTime="1700000000"), False),
        (shown(Restarts="2"), False),
        (shown(Reason="TimeLimit"), False),
        # The grace of ten seconds was over, or a person cancelled it before.
        (shown(PreemptTime="1700000000", EndTime="1700000012"), False),
        (shown(PreemptTime="1700000000", EndTime="1700000004"), True),
        (shown(JobState="PREEMPTED,COMPLETING"), False),
    ],
)
def test_a_cancellation_is_told_without_accounting(stub: Stub, monkeypatch: pytest.MonkeyPatch, told: str, expected: bool) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    monkeypatch.delenv("SLURM_ARRAY_JOB_ID", raising=False)
    stub("scontrol", f"{told} Partition=low\nPartitionName=low GraceTime=10 Hidden=NO\n")
    assert requeue.cancelled_by_user() is expected


def test_a_cancellation_is_told_without_scontrol(stub: Stub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.delenv("SLURM_ARRAY_JOB_ID", raising=False)
    (tmp_path / "scontrol").unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    for state, restarts, expected in (("COMPLETING", "0", True), ("COMPLETING", "1", False), ("RUNNING", "0", False)):
        line = "".join(f"{value:<256}" for value in (state, "None", restarts, "N/A"))
        (tmp_path / "squeue").write_text(f"#!/bin/bash\necho '{line}'\n")
        assert requeue.cancelled_by_user() is expected
    assert requeue.requeue_this_job() is False


def test_a_signal_that_comes_while_slurm_is_asked_is_not_its_answer(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    stub("scontrol", shown(JobState="CANCELLED"), sleep=0.3)
    script = (stub("sacct").parent / "scontrol").read_text().replace("sleep", "kill -TERM $$; kill -USR2 $$; kill -INT $$; sleep")
    (stub("sacct").parent / "scontrol").write_text(script)
    assert requeue.cancelled_by_user() is True


def test_outside_a_job_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    assert requeue.this_job() is None
    assert requeue.cancelled_by_user() is requeue.requeue_this_job() is False


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("gpu:h100:8|(null)\n", 80),
        ("gpu:a100_80gb:4(S:0-1)|(null)\ngpu:a100-sxm4-40gb:8|x\n", 40),
        ("gpu:nvidia_a100_1g.10gb:7|(null)\n", 10),
        ("gpu:4(S:0)|gpu_40gb,ib\n", 40),
        ("gpu:nvidia_geforce_rtx_3090:4|(null)\n", 24),
        # An A100 has 40 GB or 80.
        ("gpu:a100:4|(null)\n", None),
        ("gpu:h100:8|(null)\ngpu:v100:4|(null)\n", None),
        ("(null)|(null)\n", None),
    ],
)
def test_the_memory_of_a_partitions_gpus(stub: Stub, lines: str, expected: float | None) -> None:
    stub("sinfo", lines)
    assert site_limits.limits("gpu").gpu_memory_gb == expected


def test_the_lowest_limit_on_submitted_jobs_holds(stub: Stub) -> None:
    stub("scontrol", "Configuration data\nMaxArraySize            = 5001\nMaxJobCount = 10000\n")
    stub("sacctmgr", "|500||gpu\ngpu|100||\nother|5||\n")
    assert site_limits.limits("gpu") == site_limits.Limits(5001, 100, None)


def test_the_cluster_that_a_jobs_name_ends_with_is_asked(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    here = fields("12", "12", "12", "N/A", "RUNNING", "None", "node1", "1:00", "pe-a-1", "")
    there = "CLUSTER: alps\n" + fields("12", "12", "12", "N/A", "PENDING", "None", "", "1:00", "pe-b-1@alps", "")
    calls = stub("squeue", here + there)
    found = slurm_queue.queued(["pe-a-1", "pe-b-1@alps"]) or []
    assert [(job.name, job.state) for job in found] == [("pe-a-1", "RUNNING"), ("pe-b-1@alps", "PENDING")]
    assert [line.startswith("--clusters=alps --me") for line in calls.read_text().splitlines()] == [False, True]
    for name in ("sacct", "scontrol", "scancel", "sinfo"):
        stub(name, "CLUSTER: alps\nnode1\nnode1\n")
    slurm_accounting.history(["12"], cluster="alps")
    submit_and_cancel.cancel(["12"], cluster="alps")
    submit_and_cancel.end_dependency("12", cluster="alps")
    assert slurm_queue.nodes("gpu", cluster="alps") == {"node1"}
    assert all(line.startswith("--clusters=alps ") for line in calls.read_text().splitlines()[2:])
    # A job of that cluster asks its own, which a compute node may know alone.
    monkeypatch.setenv("SLURM_CLUSTER_NAME", "alps")
    calls.unlink()
    slurm_queue.queued(["pe-b-1@alps"])
    assert "--clusters" not in calls.read_text()


def test_a_job_of_another_cluster_counts_once(stub: Stub) -> None:
    stub("squeue", "CLUSTER: alps\n12\n13_4\n")
    assert slurm_queue.count(cluster="alps") == 2


SCRIPT = "#!/bin/bash\n#SBATCH --job-name=pe-a-1\n"


@pytest.mark.parametrize(
    ("out", "error"),
    [
        ("4711\n", ""),
        ("4711;alps\n", ""),
        ("Submitted batch job 4711\n", ""),
        ("Submitted batch job 4711 on cluster alps\n", ""),
        ("*** 2026: 12 nodes are down ***\n\n4711\n", ""),
        ("2026\nSubmitted batch job 4711\nYou have 300 hours left\n", ""),
        ("", "sbatch: Submitted batch job 4711"),
        # A number of a banner stands alone: the queue knows the name of the one that is a job.
        ("2026\n4711;alps\n", ""),
    ],
)
def test_the_id_of_a_job_is_read_among_what_a_site_prints(stub: Stub, tmp_path: Path, out: str, error: str) -> None:
    stub("sbatch", out, error=error)
    shown = fields("4711", "4711", "4711", "N/A", "PENDING", "None", "", "1:00", "pe-a-1", "first=0")
    stub("squeue")
    (tmp_path / "squeue").write_text(f"#!/bin/bash\ncase $* in *--jobs=4711*) printf '%s' '{shown}';; *) exit 1;; esac\n")
    assert submit_and_cancel.submit(SCRIPT, tmp_path / "job.sbatch") == "4711"


@pytest.mark.parametrize("out", ["", "Your job was accepted\n", "2026\n4711\n"])
def test_an_answer_without_a_clear_id_is_refused_in_one_sentence(stub: Stub, tmp_path: Path, out: str) -> None:
    stub("sbatch", out)
    stub("squeue", code=1)
    with pytest.raises(submit_and_cancel.Refused, match=r"which number the job has cannot be read in its answer \((nothing|Your|2026)"):
        submit_and_cancel.submit(SCRIPT, tmp_path / "job.sbatch")
