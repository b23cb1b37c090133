"""What a sweep submits, to the letter."""

import re
import sys
from pathlib import Path

import pytest

from persona_exp.launch.recovery.failed_nodes import note_failed_node
from persona_exp.launch.slurm import slurm_queue
from persona_exp.launch.slurm.site_limits import Limits
from persona_exp.launch.sweeps.job_arrays import keeper_script, sbatch_texts, worker_jobs_of, worker_script
from persona_exp.launch.sweeps.submission_record import draft
from tests.conftest import ROOT

GOLDEN = ROOT / "tests" / "golden" / "dry_run.sbatch"
SITE = Limits(1001, None, None)
LAUNCH = {
    "python": "/opt/env/bin/python",
    "code_folder": "0123456789ab",
    "array_parallelism": 8,
    "keeper": True,
    "keeper_partition": "cpu",
    "max_rounds": 3,
    "trials_per_task": None,
}
SBATCH = {
    "partition": "gpu",
    "account": "me",
    "gpus_per_node": "a100:1",
    "cpus_per_task": 16,
    "mem_gb": 240,
    "timeout_min": 240,
    "signal_delay_s": 120,
    "reservation": "course",
    "stderr_to_stdout": True,
    "setup": ["module load cuda"],
}


SLURM = ("hydra/launcher=slurm", "cluster=testbed")


def tree(folder: Path) -> list[tuple[str, int, int]]:
    """Every path with its size and time of change, folders too."""
    found = ((path, path.lstat()) for path in (folder, *folder.rglob("*")))
    return sorted((str(path), stat.st_size, stat.st_mtime_ns) for path, stat in found)


def made(folder: Path, tasks: int, *, canary: bool = True, **launch: object):
    options = {"sbatch": SBATCH, "launch": {**LAUNCH, **launch}}
    seals = [[f"{one:012x}/seals/00000000.json"] for one in range(tasks)]
    return draft(folder / "sweeps" / "x", launcher="slurm", tasks=seals, options=options, canary=canary)


def plain(text: str, folder: Path) -> str:
    return re.sub(r"pe-[0-9a-f]{8}-", "pe-00000000-", text.replace(str(folder), "/runs").replace(sys.executable, "PYTHON"))


def test_the_text_of_a_sweep(tmp_path):
    found = "\n".join(f"# ---- {name}\n{text}" for name, text in sbatch_texts(made(tmp_path, 40), SITE))
    assert plain(found, tmp_path) == GOLDEN.read_text()


@pytest.mark.parametrize(
    ("tasks", "canary", "site", "expected"),
    [
        (1000, True, SITE, [("canary", 0, 1), ("array-0", 1, 999)]),
        (3, False, SITE, [("array-0", 0, 3)]),
        (2500, True, SITE, [("canary", 0, 1), ("array-0", 1, 1001), ("array-1", 1002, 1001), ("array-2", 2003, 497)]),
        (10, True, Limits(1001, 5, None), [("canary", 0, 1), ("array-0", 1, 3)]),
        (10, True, Limits(1001, 1, None), [("canary", 0, 1), ("array-0", 1, 1)]),
        # One of them may be the keeper that submits this: there is room for the next.
        (30, False, Limits(1001, 10, None, queued=1), [("array-0", 0, 8)]),
        (30, False, Limits(1001, 10, None, queued=12), [("array-0", 0, 1)]),
    ],
)
def test_which_jobs_a_sweep_becomes(tmp_path, tasks, canary, site, expected):
    assert list(worker_jobs_of(made(tmp_path, tasks, canary=canary), site)) == expected


def test_the_keeper_asks_for_no_gpu(tmp_path):
    text = keeper_script(made(tmp_path, 2), ["1", "2"])
    assert "gpu" not in text.replace("--partition=cpu", "")
    assert "--dependency=afterany:1:2" in text
    assert "#SBATCH --begin=now+600" in keeper_script(made(tmp_path, 2), [], begin_seconds=600)


@pytest.mark.parametrize(
    ("site", "worker", "expected"),
    [
        ({}, {}, ["--mem=4GB", "--partition=cpu", "--time=60"]),
        ({"keeper_mem_gb": 1}, {}, ["--mem=1GB"]),
        ({"keeper_mem_per_cpu": "2G"}, {}, ["--mem-per-cpu=2G"]),
        # A site that wants memory by the core wants it of the keeper too.
        ({}, {"mem_per_cpu": "8G"}, ["--mem-per-cpu=4G"]),
        ({"keeper_mem_gb": 1}, {"mem_per_cpu": "8G"}, ["--mem=1GB"]),
        ({"keeper_timeout_min": 600, "keeper_qos": "small"}, {"qos": "gpu"}, ["--time=600", "--qos=small"]),
        ({}, {"qos": "gpu", "additional_parameters": {"wckey": "lit", "licenses": "x"}}, ["--qos=gpu", "--account=me", "--wckey=lit"]),
        # What a site may want of every job, in its own words too.
        (
            {},
            {"comment": "grant 7", "additional_parameters": {"nice": 100, "site-project": "p7", "gpu-bind": "none", "licenses": "x"}},
            ["--comment='grant 7 keeper'", "--nice=100", "--site-project=p7"],
        ),
        ({}, {"additional_parameters": {"mincpus": 16, "extra_node_info": "2:8", "extra": "mine"}}, ["--extra=mine"]),
        ({}, {"additional_parameters": {"extra-node-info": "2:8"}}, ["--cpus-per-task=1"]),
    ],
)
def test_the_keepers_own_settings(tmp_path, site, worker, expected):
    one = made(tmp_path, 2, **site)
    one.options["sbatch"] = {**{name: value for name, value in SBATCH.items() if name != "mem_gb" or not worker}, **worker}
    lines = keeper_script(one, ["1"]).splitlines()
    assert {f"#SBATCH {line}" for line in expected} <= set(lines)
    assert sum(line.startswith("#SBATCH --mem") for line in lines) == 1
    workers_own = ("licenses", "gpu", "mincpus", "extra-node-info", "extra_node_info")
    assert not any(any(name in line for name in workers_own) for line in lines if line not in {f"#SBATCH {one}" for one in expected})


def test_a_name_of_ones_own_is_a_prefix_and_a_cluster_the_ending(tmp_path):
    one = made(tmp_path, 2, name="ranks")
    assert re.fullmatch(r"ranks-pe-[0-9a-f]{8}-1", one.job_name)
    assert f"#SBATCH --job-name={one.job_name}\n" in worker_script(one, 0, 2)
    assert f"#SBATCH --job-name={one.job_name}-keeper\n" in keeper_script(one, ["1"])
    options = {"sbatch": {**SBATCH, "clusters": "alps"}, "launch": {**LAUNCH, "name": "ranks"}}
    other = draft(tmp_path / "sweeps" / "y", launcher="slurm", tasks=[["a"]], options=options, canary=False)
    assert re.fullmatch(r"ranks-pe-[0-9a-f]{8}-1@alps", other.job_name)
    assert other.keeper_name == other.job_name.replace("@alps", "-keeper@alps")
    assert "#SBATCH --clusters=alps\n" in worker_script(other, 0, 1)
    assert "#SBATCH --clusters=alps\n" in keeper_script(other, ["1"])


@pytest.mark.parametrize(("requeue", "line"), [(True, "#SBATCH --requeue"), (False, "#SBATCH --no-requeue")])
def test_whether_slurm_may_requeue_a_worker(tmp_path, requeue, line):
    one = made(tmp_path, 2)
    one.options["sbatch"] = {**SBATCH, "requeue": requeue}
    (found,) = [line for line in worker_script(one, 0, 2).splitlines() if line.endswith("requeue")]
    assert found == line
    # Nothing comes after a keeper that is gone.
    assert "#SBATCH --requeue\n" in keeper_script(one, ["1"])


@pytest.mark.parametrize(("minutes", "limit"), [(240, 60), (30, 30), (None, 60)])
def test_the_keeper_asks_for_no_more_time_than_a_worker(tmp_path, minutes, limit):
    one = made(tmp_path, 2)
    one.options["sbatch"] = {**SBATCH, "timeout_min": minutes}
    assert f"#SBATCH --time={limit}\n" in keeper_script(one, ["1"])


@pytest.mark.parametrize(
    ("failures", "known", "options", "expected"),
    [
        ({"node1": 2, "node2": 1}, {"node1", "node2"}, {}, "node1"),
        ({"node1": 3}, {"node1", "node2"}, {"exclude": "node7"}, "node7,node1"),
        # Slurm does not know it, or there is no other, or the person has chosen.
        ({"login": 2}, {"node1", "node2"}, {}, None),
        ({"node1": 2, "node2": 2}, {"node1", "node2"}, {}, None),
        ({"node1": 2}, {"node1", "node2"}, {"nodelist": "node1"}, None),
        ({"node1": 2}, set(), {}, None),
    ],
)
def test_nodes_that_failed_twice_are_kept_out_of_what_is_submitted(tmp_path, monkeypatch, failures, known, options, expected):
    one = made(tmp_path, 2)
    one.options["sbatch"] = {**SBATCH, **options}
    for host, times in failures.items():
        for time in range(times):
            note_failed_node(one.sweep_folder, {"host": host, "process_started": f"boot{time}:17"})
    monkeypatch.setattr(slurm_queue, "nodes", lambda partition, **_: known if partition == "gpu" else set())
    found = re.search("--exclude=(.*)", worker_script(one, 0, 2))
    assert (found and found[1]) == expected


def test_a_comment_of_ones_own_stays(tmp_path):
    one = made(tmp_path, 2)
    one.options["sbatch"] = {**SBATCH, "comment": "project 7"}
    assert "--comment='project 7 first=1'" in worker_script(one, 1, 1).replace('"', "'")


def test_dry_run_writes_no_record_and_needs_no_slurm(run_py, tmp_path, monkeypatch):
    done = run_py("-m", "seed=range(3)", "engine=noop", "model=tiny", "hydra/launcher=slurm", "cluster=testbed", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("#!/bin/bash") == 2
    assert "3 trials in 1 task; nothing was submitted" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_a_dry_run_on_this_machine_says_how_much_and_runs_nothing(run_py, tmp_path):
    done = run_py("-m", "seed=range(3)", "lora.r=2,4", "model=tiny", "bundle.size=4", "cluster.hours_per_trial=2", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "7 trials, 0 finished, 7 to run." in done.stdout
    assert "14 (from cluster.hours_per_trial)" in done.stdout
    assert "Dry run: 7 trials in 2 bundles; nothing was run." in done.stdout
    assert not (tmp_path / "runs").exists()


SEARCH = ("hydra/sweeper=optuna", "optim.lr=tag(log,interval(1e-5,1e-3))", "hydra.sweeper.n_trials=4")


@pytest.mark.long
@pytest.mark.parametrize("asked", [("lora.r=2,4",), ("lora.r=2,4", *SLURM), SEARCH, (*SEARCH, *SLURM)])
def test_a_dry_run_leaves_runs_as_it_is(run_py, built, asked):
    before = tree(built)
    done = run_py("-m", *asked, "model=tiny", "corpus.min_confidence=0.5", "data.min_reply_words=4", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "Dry run: " in done.stdout + done.stderr
    assert "dry-run-" not in done.stdout + done.stderr
    assert tree(built) == before


@pytest.mark.long
def test_a_dry_run_names_the_sweep_that_comes_of_it_and_knows_what_is_finished(run_py, built):
    asked = ("-m", "seed=0,1", "model=tiny", "engine=noop")
    planned = run_py(*asked, "--dry-run")
    assert run_py(*asked).returncode == 0
    (sweep,) = (built / "sweeps").iterdir()
    assert f"Sweep {sweep.name}: 2 trials, 0 finished, 2 to run." in planned.stdout
    before = tree(built)
    assert f"Sweep {sweep.name}: 2 trials, 2 finished, 0 to run." in run_py(*asked, "--dry-run").stdout
    assert tree(built) == before


@pytest.mark.long
def test_what_no_memory_holds_is_refused_before_anything_is_built(run_py, tmp_path):
    done = run_py("-m", "lora.r=8,1000000000", "model=tiny")
    assert done.returncode == 2
    assert done.stderr.startswith("error: tiny, method=lora with lora.r=1000000000, needs at least ")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_a_rehearsal_counts_trials_of_other_data_apart(run_py):
    done = run_py("-m", "data.min_reply_words=2,3", "persona=wrexham,crane", "data.seed=0,1", "engine=noop", "--dry-run")
    assert "Dry run: 8 trials in 8 bundles; nothing was run." in done.stdout
