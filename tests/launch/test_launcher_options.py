"""What hydra.launcher takes."""

import re
from dataclasses import fields
from typing import get_type_hints

import pytest
import yaml

from persona_exp.config.schema import Cluster
from persona_exp.errors import UserError
from persona_exp.launch.launcher_options import (
    EXCLUSIVE,
    FROM_CLUSTER,
    NOT_SBATCH,
    LocalOptions,
    SlurmOptions,
    parse_options,
    refuse_contradictions,
    sbatch_options,
    warning_if_run_here,
)
from persona_exp.launch.workers.visible_gpus import gpus_of
from tests.conftest import ROOT


@pytest.mark.parametrize(("name", "kind"), [("slurm", SlurmOptions), ("local", LocalOptions)])
def test_the_yaml_lists_every_option_with_its_default(name, kind):
    listed = yaml.safe_load((ROOT / "conf" / "hydra" / "launcher" / f"{name}.yaml").read_text())
    assert listed.pop("_target_").startswith("hydra_plugins.persona_exp_plugins.")
    assert parse_options(kind, listed) == kind()
    assert list(listed) == [one.name for one in fields(kind)]


def test_every_option_but_ours_is_one_of_submitits():
    from persona_exp.launch.slurm.sbatch_script import _check

    given = {one.name for one in fields(SlurmOptions)} - set(NOT_SBATCH) - {"timeout_min"}
    _check(dict.fromkeys(given))
    with pytest.raises(UserError, match="no_such_option"):
        _check(dict.fromkeys({*given, "no_such_option"}))


def test_the_command_line_overrules_the_site(config):
    cluster = config("cluster=dgx_a100", "cluster.partition=gpu", "cluster.setup=[module load cuda]").cluster
    told = sbatch_options(SlurmOptions(partition="long", setup=["export A=1"], mem_gb=10), cluster)
    assert (told["partition"], told["mem_gb"], told["gpus_per_node"]) == ("long", 10, "a100:1")
    assert told["setup"] == ["module load cuda", "export A=1"]
    assert "account" not in told
    assert sbatch_options(SlurmOptions(), cluster)["partition"] == "gpu"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("job_name", "is an option that the launcher sets itself; give hydra.launcher.name"),
        ("job-name", "give hydra.launcher.name"),
        ("comment", "give hydra.launcher.comment"),
        ("array", "give hydra.launcher.array_parallelism"),
        ("output", "the output of jobs is in runs/"),
        ("open_mode", "the output of jobs is in runs/"),
        ("requeue", "give hydra.launcher.requeue"),
        ("no_requeue", "give hydra.launcher.requeue=false"),
        ("dependency", "wait for one another"),
        ("signal", "give hydra.launcher.signal_delay_s"),
        ("export", "hydra.launcher.setup"),
        ("chdir", "sealed code"),
        ("clusters", "give hydra.launcher.clusters"),
        ("account", "give hydra.launcher.account"),
        ("mem", "give hydra.launcher.mem_gb"),
        ("ntasks", "one process on one node"),
        # As sbatch reads it.
        ("dep", "is short for dependency, an option that the launcher sets itself"),
    ],
)
def test_what_the_launcher_keeps_is_nobody_elses(name, says):
    with pytest.raises(UserError, match=re.escape(says)) as raised:
        parse_options(SlurmOptions, {"additional_parameters": {name: "x"}})
    assert str(raised.value).startswith(f"hydra.launcher.additional_parameters.{name} is ")


def test_what_only_sbatch_knows_is_an_additional_parameter():
    given = {"licenses": "matlab", "begin": "20:00", "nice": 100, "hold": True, "exclusive": "user", "mem_bind": "local", "time_min": 5}
    assert parse_options(SlurmOptions, {"additional_parameters": given}).additional_parameters == given
    with pytest.raises(UserError, match=r"hydra\.launcher\.srun_args=--export=NONE is an option that the launcher sets itself"):
        parse_options(SlurmOptions, {"srun_args": ["--container-image=a", "--export=NONE"]})


@pytest.mark.parametrize(
    ("given", "expected", "gpus"),
    [
        ({"mem_per_cpu": "4G"}, {"mem_per_cpu": "4G", "gpus_per_node": "a100:1", "cpus_per_task": 16}, 1),
        ({"gres": "gpu:a100:2"}, {"mem_gb": 240, "gres": "gpu:a100:2", "cpus_per_task": 16}, 2),
        ({"gres": "lscratch:100,gpu:v100:1"}, {"mem_gb": 240, "gres": "lscratch:100,gpu:v100:1", "cpus_per_task": 16}, 1),
        ({"gres": "lscratch:100"}, {"mem_gb": 240, "gres": "lscratch:100", "gpus_per_node": "a100:1", "cpus_per_task": 16}, 1),
        ({"cpus_per_gpu": 8}, {"mem_gb": 240, "gpus_per_node": "a100:1", "cpus_per_gpu": 8}, 1),
    ],
)
def test_an_option_takes_the_place_of_its_rivals_in_the_profile(config, given, expected, gpus):
    asked = sbatch_options(parse_options(SlurmOptions, given), config("cluster=dgx_a100").cluster)
    rivals = {name for row in EXCLUSIVE for name in row}
    assert {name: value for name, value in asked.items() if name in rivals} == expected
    assert gpus_of(asked) == gpus


def test_an_option_of_both_the_site_and_the_launcher_has_one_type():
    site, launcher = get_type_hints(Cluster), get_type_hints(SlurmOptions)
    assert {name: launcher[name] for name in FROM_CLUSTER} == {name: site[name] | None for name in FROM_CLUSTER}
    assert {"partition", "mem_gb", "timeout_min", "signal_delay_s"} < set(FROM_CLUSTER)


@pytest.mark.parametrize("name", FROM_CLUSTER)
@pytest.mark.parametrize("value", [-1, 0, float("nan"), 1])
def test_an_option_of_both_the_site_and_the_launcher_has_one_range(name, value):
    def refusal(make, prefix):
        try:
            make()
        except UserError as error:
            return str(error).removeprefix(prefix)

    cluster, launcher = (lambda: Cluster(**{name: value})), (lambda: SlurmOptions(**{name: value}))
    assert refusal(cluster, "cluster.") == refusal(launcher, "hydra.launcher.")


@pytest.mark.parametrize(
    ("given", "words", "says"),
    [
        ({"partition": "long"}, ["cluster=site", "cluster.partition=gpu"], "hydra.launcher.partition=long and cluster.partition=gpu"),
        ({"mem_per_cpu": "4G"}, ["cluster.mem_gb=64"], "hydra.launcher.mem_per_cpu=4G and cluster.mem_gb=64"),
        ({"partition": "gpu"}, ["cluster.partition=gpu"], None),
        ({"partition": "long"}, ["cluster=site"], None),
        ({"qos": "long"}, ["cluster.qos=null"], None),
        ({"name": "mine", "setup": ["a"]}, ["cluster.name=site", "cluster.setup=[b]"], None),
        ({"gres": "lscratch:9"}, ["cluster.gpus_per_node=1"], None),
    ],
)
def test_a_command_that_asks_the_site_for_one_thing_and_the_launcher_for_another_is_refused(given, words, says):
    cluster = Cluster(name="site", partition="gpu", mem_gb=64, gpus_per_node="1", setup=["b"])
    if says is None:
        refuse_contradictions(SlurmOptions(**given), cluster, words)
    else:
        with pytest.raises(UserError, match=f"^{re.escape(says)} contradict each other: give one of them.$"):
            refuse_contradictions(SlurmOptions(**given), cluster, words)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"partiton": "x"}, "There is no setting hydra.launcher.partiton: hydra.launcher has name, array_parallelism, "),
        ({"timeout_min": "soon"}, "hydra.launcher.timeout_min=soon must be a whole number."),
        ({"timeout_min": 0}, "hydra.launcher.timeout_min=0 must be above 0."),
        ({"max_rounds": 0}, "hydra.launcher.max_rounds=0 must be above 0."),
        ({"name": "a,b"}, "hydra.launcher.name=a,b must be 1 to 60 of the characters"),
        ({"clusters": "a,b"}, "A sweep runs on one cluster, for its jobs wait for one another, and 'a,b' is not the name of one: give"),
        ({"clusters": "all"}, "A sweep runs on one cluster"),
        ({"mem_gb": 4, "mem_per_cpu": "4G"}, "hydra.launcher.mem_gb and hydra.launcher.mem_per_cpu exclude each other: give one of them."),
        ({"gpus_per_node": "1", "gres": "lscratch:9,gpu:1"}, "hydra.launcher.gpus_per_node and hydra.launcher.gres exclude each other"),
    ],
)
def test_a_mistake_is_one_sentence(given, says):
    with pytest.raises(UserError) as raised:
        parse_options(SlurmOptions, given)
    assert str(raised.value).startswith(says)


@pytest.mark.parametrize(
    ("settings", "job", "warned"),
    [
        ({"name": "local"}, None, False),
        ({"name": "site", "partition": "gpu"}, None, True),
        ({"name": "site", "gpus_per_node": "a100:1"}, None, True),
        ({"name": "site", "partition": "gpu"}, "17", False),
    ],
)
def test_a_slurm_profile_without_its_launcher_is_warned_of_outside_jobs(monkeypatch, settings, job, warned):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    if job:
        monkeypatch.setenv("SLURM_JOB_ID", job)
    told = warning_if_run_here(Cluster(**settings))
    assert (told is not None) == warned
    assert told is None or "hydra/launcher=slurm submits them" in told
