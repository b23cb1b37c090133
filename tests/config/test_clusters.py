"""Profiles of machines, and the file to copy for one's own."""

from dataclasses import fields

import pytest
import yaml

from persona_exp.config.schema import Cluster
from tests.conftest import ROOT

CLUSTERS = ROOT / "conf" / "cluster"
NAMES = sorted(path.stem for path in CLUSTERS.glob("*.yaml"))


def test_the_template_explains_every_setting():
    lines = (CLUSTERS / "template.yaml").read_text().splitlines()
    assert list(yaml.safe_load("\n".join(lines))) == [one.name for one in fields(Cluster)]
    keys = [number for number, line in enumerate(lines) if line and not line.startswith("#")]
    assert all(lines[number - 1].startswith("# ") for number in keys)


@pytest.mark.parametrize("name", NAMES)
def test_a_profile_has_its_files_name(config, name):
    assert config(f"cluster={name}").cluster.name == name


@pytest.mark.parametrize("name", NAMES)
def test_a_trial_computes_with_the_cores_it_gets(config, name):
    cluster = config(f"cluster={name}").cluster
    assert cluster.threads in (None, cluster.cpus_per_task)
