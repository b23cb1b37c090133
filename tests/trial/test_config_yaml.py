"""A config's YAML is what writing it whole gives, whatever was written before; a group that is the same object is not written again."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

from persona_exp.config.compose import compose_trial
from persona_exp.trial import config_yaml
from persona_exp.trial.config_yaml import ConfigYaml

ROOT = Path(__file__).parents[2]
CHOICES = [
    (),
    ("method=none",),
    ("model=qwen3-32b", "data.mix.narrative=1", "optim.lr=1e-5"),
    ("lora.r=5", "data.size=50", "persona.name='Çelik: \"on\" # é 😀'", "cluster=testbed"),
]


def whole(config):
    return yaml.dump({**asdict(config), "runs": "runs"}, Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True)


@pytest.mark.parametrize("overrides", CHOICES)
def test_the_text_is_that_of_the_whole(config, overrides):
    asked = config(*overrides)
    assert ConfigYaml().text(asked) == whole(asked)
    assert compose_trial(OmegaConf.create(ConfigYaml().text(asked))) == replace(asked, runs="runs")


def test_what_was_written_before_changes_nothing(config):
    made, base = ConfigYaml(), config()
    asked = [replace(base, seed=seed, lora=replace(base.lora, r=rank)) for rank in (4, 8, 4) for seed in (0, 1000, 2**31)]
    for one in (*asked, *map(config, ("optim.lr=1e-3", "optim.lr=0.001", "train.max_steps=3", "method=qlora", "model.revision=0123"))):
        assert made.text(one) == whole(one)


def test_other_personas_are_written_each(config):
    asked = config()
    asked = replace(asked, others={"pell": replace(asked.persona, name="Pell"), "mrs hallam": asked.persona})
    assert ConfigYaml().text(asked) == whole(asked)


def test_groups_can_be_left_out(config):
    asked = config()
    left = {name: value for name, value in asdict(asked).items() if name not in ("lora", "seed")}
    assert yaml.safe_load(ConfigYaml().text(asked, ("lora", "seed"))) == {**left, "runs": "runs"}


def test_a_shared_group_is_written_once(config, monkeypatch):
    written = []
    real = config_yaml._group_yaml
    monkeypatch.setattr(config_yaml, "_group_yaml", lambda name, value: written.append(name) or real(name, value))
    made, base = ConfigYaml(), config()
    made.text(base)
    written.clear()
    made.text(replace(base, seed=base.seed + 1000, lora=replace(base.lora, r=5)))
    assert written == ["lora", "seed"]
