"""What a person exported on the login node holds for every job of a sweep, also for those that its keeper submits."""

import pytest

from tests.faults.cluster import until

pytestmark = pytest.mark.slurm

NOOP = ("-m", "seed=0,1", "engine=noop", "model=tiny", "hydra.launcher.trials_per_task=1")
EXPORTED = {"SBATCH_ACCOUNT": "lit", "SBATCH_PARTITION": "low", "SBATCH_TIMELIMIT": "0:20:00", "SLURM_CLUSTERS": "testbed"}


def prepared(cluster) -> None:
    """An account of that name, and nothing starts."""
    cluster.run("sacctmgr", "--immediate", "add", "account", "lit", check=False)
    cluster.run("sacctmgr", "--immediate", "add", "user", "root", "account=lit", check=False)
    until("the controller knows the account", lambda: "lit" in cluster.run("scontrol", "show", "assoc_mgr", "flags=assoc"))
    cluster.run("scontrol", "update", "nodename=node[1-3]", "state=drain", "reason=test")


def shown(cluster, *fields: str) -> set[tuple[str, ...]]:
    lines = cluster.run("squeue", "--noheader", "--array", f"--format={'|'.join(fields)}").splitlines()
    return {tuple(line.split("|")) for line in lines}


def test_every_job_goes_to_the_persons_account_partition_and_cluster(cluster, sweep):
    prepared(cluster)
    one = sweep(NOOP, variables=EXPORTED)
    one.launch("hydra.launcher.wait=false", "hydra.launcher.name=ranks")
    said = one.ends()
    assert "taken account=lit (SBATCH_ACCOUNT), partition=low (SBATCH_PARTITION)" in said
    assert shown(cluster, "%a", "%P", "%l") == {("lit", "low", "20:00")}
    jobs = shown(cluster, "%i", "%j")
    assert all(name.startswith("ranks-pe-") and name.endswith("@testbed") for _, name in jobs)
    # The same command from a shell that says nothing of the cluster finds them, and submits nothing again.
    other = sweep(NOOP)
    other.folder.symlink_to(one.folder)
    other.launch("hydra.launcher.wait=false", "hydra.launcher.name=ranks")
    assert "attached to them" in other.ends()
    # Lost, the workers are submitted again by the keeper, in a job.
    cluster.run("scancel", *{job.partition("_")[0] for job, name in jobs if "-keeper" not in name})
    cluster.run("scontrol", "update", "nodename=node[1-3]", "state=resume")
    until("both trials are finished", lambda: len(list(one.runs.glob("trials/*/adapter/noop.json"))) == 2)
    until("no job is left", lambda: not cluster.jobs(), seconds=120)

    def accounted():
        lines = cluster.run("sacct", "--allocations", "--noheader", "--parsable2", "--format=JobName,Account,Partition,Timelimit")
        return {tuple(line.split("|")) for line in lines.splitlines() if line.startswith("ranks-pe-")}

    # Slurm's accounting follows its jobs by some seconds.
    until("both submissions are accounted", lambda: {number_of(name) for name, *_ in accounted()} == {"1", "2"})
    assert {run[1:] for run in accounted()} == {("lit", "low", "00:20:00")}


def number_of(name):
    """The number of the submission that a job belongs to."""
    return name.rsplit("@")[0].removesuffix("-keeper").rsplit("-")[-1]


def test_the_commands_partition_wins_over_the_exported_one(cluster, sweep):
    prepared(cluster)
    one = sweep(NOOP, variables=EXPORTED)
    one.launch("hydra.launcher.wait=false", "hydra.launcher.partition=main")
    assert "hydra.launcher.partition=main wins over SBATCH_PARTITION=low" in one.ends()
    assert shown(cluster, "%a", "%P") == {("lit", "main")}
