"""The config group `sweeps`: found beside conf/, in a copy of the code too, and nothing else with it."""

import subprocess
import sys

import pytest
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigLoadError

from hydra_plugins.persona_exp_sweeps import SweepsSource
from persona_exp.trial.code_snapshot import snapshot


@pytest.fixture
def source(tmp_path):
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "sweeps" / "one.yaml").write_text("arms: [lora.r]\n")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "other.yaml").write_text("a: 1\n")
    return SweepsSource("persona_exp", f"sweeps://{tmp_path}")


def test_the_group_alone_is_seen(source):
    assert source.available()
    assert source.list("", None) == source.list("", ObjectType.GROUP) == ["sweeps"]
    assert source.list("", ObjectType.CONFIG) == []
    assert source.list("sweeps", ObjectType.CONFIG) == source.list("sweeps", None) == ["one"]
    assert not source.is_group("docs")
    assert not source.is_config("docs/other")
    assert source.list("docs", None) == []


def test_a_sweep_is_set_at_the_top_of_the_config(source):
    found = source.load_config("sweeps/one")
    assert (found.config, found.header) == ({"arms": ["lora.r"]}, {"package": "_global_"})
    with pytest.raises(ConfigLoadError, match="two"):
        source.load_config("sweeps/two")


def test_without_the_folder_there_is_no_group(tmp_path):
    assert not SweepsSource("persona_exp", f"sweeps://{tmp_path}").available()


@pytest.mark.long
def test_a_copy_of_the_code_has_its_sweeps(tmp_path):
    folder = snapshot(tmp_path)
    command = [sys.executable, "run.py", "--cfg", "job", "-p", "arms", "+sweeps=lora_rank"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    assert done.stdout.endswith("- lora.r\n")
