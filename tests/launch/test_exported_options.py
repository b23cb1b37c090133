"""What a person exported for sbatch on a login node."""

import pytest

from persona_exp.config.schema import Cluster
from persona_exp.errors import UserError
from persona_exp.launch.exported_options import exported_options
from persona_exp.launch.launcher_options import SlurmOptions, sbatch_options

SITE = Cluster(name="site", partition="gpu", account="group", mem_gb=64, gpus_per_node="1", timeout_min=240)


def asked(exported, words=(), **options):
    found, line = exported_options(SlurmOptions(**options), words, {"HOME": "/h", **exported})
    return sbatch_options(found, SITE), line


def test_what_was_exported_wins_over_the_profile_and_is_said_in_one_line():
    exported = {"SBATCH_ACCOUNT": "mine", "SBATCH_PARTITION": "low", "SLURM_CLUSTERS": "alps", "SLURM_CONF": "/etc/s.conf"}
    options, line = asked(exported)
    assert {name: options[name] for name in ("account", "partition", "clusters")} == {
        "account": "mine",
        "partition": "low",
        "clusters": "alps",
    }
    assert line == (
        "From the environment: taken account=mine (SBATCH_ACCOUNT), partition=low (SBATCH_PARTITION), clusters=alps (SLURM_CLUSTERS), "
        "SLURM_CONF=/etc/s.conf."
    )


@pytest.mark.parametrize(
    ("words", "options", "winner", "partition"),
    [
        (["hydra.launcher.partition=big"], {"partition": "big"}, "hydra.launcher.partition=big", "big"),
        (["cluster=site", "cluster.partition=gpu"], {}, "cluster.partition", "gpu"),
    ],
)
def test_what_the_command_gives_wins_over_both(words, options, winner, partition):
    found, line = asked({"SBATCH_PARTITION": "low"}, words, **options)
    assert found["partition"] == partition
    assert line == f"From the environment: {winner} wins over SBATCH_PARTITION=low."


def test_an_exported_option_takes_the_place_of_the_profiles_rival_but_not_of_the_commands():
    found, _ = asked({"SBATCH_MEM_PER_CPU": "4G", "SBATCH_GRES": "gpu:a100:1"})
    assert (found["mem_per_cpu"], found["gres"]) == ("4G", "gpu:a100:1")
    assert not {"mem_gb", "gpus_per_node"} & found.keys()
    found, line = asked({"SBATCH_MEM_PER_CPU": "4G"}, mem_gb=8)
    assert (found["mem_gb"], "mem_per_cpu" in found) == (8, False)
    assert "hydra.launcher.mem_gb=8 wins over SBATCH_MEM_PER_CPU=4G" in line


def test_of_two_exported_options_that_exclude_each_other_the_second_is_said_to_give_way():
    found, line = asked({"SBATCH_GPUS": "1", "SBATCH_GPUS_PER_NODE": "2", "SBATCH_CLUSTERS": "alps", "SLURM_CLUSTERS": "todi"})
    assert (found["gpus_per_node"], found["clusters"]) == ("1", "alps")
    assert "gpus_per_node=1 wins over SBATCH_GPUS_PER_NODE=2" in line
    assert "clusters=alps wins over SLURM_CLUSTERS=todi" in line


@pytest.mark.parametrize(
    ("limit", "minutes"),
    [("90", 90), ("90:30", 91), ("1:30:00", 90), ("1-12", 2160), ("1-12:30", 2190), ("1-00:00:01", 1441)],
)
def test_a_time_limit_as_sbatch_reads_it(limit, minutes):
    assert asked({"SBATCH_TIMELIMIT": limit})[0]["timeout_min"] == minutes


@pytest.mark.parametrize(("size", "gb"), [("64G", 64), ("65536", 64), ("512M", 0.5), ("1T", 1024)])
def test_memory_as_sbatch_reads_it(size, gb):
    assert asked({"SBATCH_MEM_PER_NODE": size})[0]["mem_gb"] == gb


def test_what_only_sbatch_knows_goes_with_it_and_what_the_launcher_sets_does_not():
    exported = {"SBATCH_WCKEY": "lit", "SBATCH_EXCLUSIVE": "", "SBATCH_EXPORT": "NONE", "SBATCH_NO_REQUEUE": "1", "SBATCH_JOB_NAME": "x"}
    found, line = asked(exported)
    assert found["additional_parameters"] == {"exclusive": True, "wckey": "lit"}
    assert found["requeue"] is False
    assert line.endswith("; not taken SBATCH_EXPORT, SBATCH_JOB_NAME, which the launcher sets itself.")


def test_inside_a_job_nothing_is_taken_and_that_is_said():
    found, line = asked({"SLURM_JOB_ID": "17", "SBATCH_ACCOUNT": "mine", "SLURM_CONF": "/etc/s.conf"})
    assert found["account"] == "group"
    assert line == "Inside job 17 not taken: SBATCH_ACCOUNT; give hydra.launcher.* instead."
    assert asked({"SLURM_JOB_ID": "17"})[1] == asked({})[1] == ""


@pytest.mark.parametrize(
    ("exported", "says"),
    [
        ({"SBATCH_TIMELIMIT": "UNLIMITED"}, "SBATCH_TIMELIMIT=UNLIMITED is not a time limit"),
        ({"SBATCH_TIMELIMIT": "0"}, "SBATCH_TIMELIMIT=0 is no limit"),
        ({"SBATCH_MEM_PER_NODE": "much"}, "SBATCH_MEM_PER_NODE=much is not a size"),
        ({"SBATCH_CPUS_PER_GPU": "x"}, "SBATCH_CPUS_PER_GPU=x is not a whole number"),
        ({"SLURM_CLUSTERS": "alps,todi"}, "A sweep runs on one cluster"),
    ],
)
def test_what_cannot_be_taken_is_one_sentence(exported, says):
    with pytest.raises(UserError, match=says):
        asked(exported)
