"""One list of versions: the lock file, which pip and conda both read."""

import re
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINS = dict(
    match.groups()
    for line in (ROOT / "requirements.lock").read_text().splitlines()
    if (match := re.match(r"([a-z0-9._-]+)==([^ ;]+)", line))
)


def name_of(requirement):
    return re.split(r"[<>=!~\[; ]", requirement)[0].lower().replace("_", "-")


@pytest.mark.parametrize("requirement", [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]])
def test_every_dependency_is_pinned(requirement):
    name, _, exact = requirement.partition("==")
    assert name_of(requirement) in PINS
    assert not exact or PINS[name_of(name)] == exact


def test_conda_installs_the_lock_file_and_pins_nothing_else():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    conda = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    (pip,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    assert environment["name"] == PROJECT["name"]
    assert "-r requirements.lock" in pip
    assert [entry for entry in conda if "=" in entry] == ["python=3.11"]
    assert not any("==" in entry for entry in pip)


def test_what_runs_is_what_is_pinned():
    for name in ("torch", "transformers", "peft", "trl", "bitsandbytes", "accelerate", "datasets", "hydra-core"):
        assert version(name).split("+")[0] == PINS[name]
    assert sys.version_info >= (3, 11)
