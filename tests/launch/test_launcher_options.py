"""What hydra.launcher takes."""

from dataclasses import fields

import pytest
import yaml

from persona_exp.config.schema import Cluster
from persona_exp.errors import UserError
from persona_exp.launch.launcher_options import (
    FROM_CLUSTER,
    NOT_SBATCH,
    LocalOptions,
    SlurmOptions,
    parse_options,
    sbatch_options,
    warning_if_run_here,
)
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


def test_what_a_site_says_are_options_of_the_launcher():
    assert set(FROM_CLUSTER) <= {one.name for one in fields(SlurmOptions)}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"partiton": "x"}, "There is no setting hydra.launcher.partiton: hydra.launcher has array_parallelism, "),
        ({"timeout_min": "soon"}, "hydra.launcher.timeout_min: Value 'soon' of type 'str' could not be converted to Integer."),
        ({"timeout_min": 0}, "hydra.launcher.timeout_min=0 must be above 0."),
        ({"max_rounds": 0}, "hydra.launcher.max_rounds=0 must be above 0."),
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
