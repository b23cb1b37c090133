"""The grid: Hydra's grammar, every combination once, what Hydra itself would compose."""

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from omegaconf import OmegaConf

from persona_exp.errors import UserError
from persona_exp.search.grid import grid
from tests.conftest import ROOT


@pytest.fixture
def loader(composed):
    return ConfigLoaderImpl(create_config_search_path(str(ROOT / "conf")))


def points(loader, *arguments):
    swept, found = grid(arguments, config_name="config", hydra_overrides=[], loader=loader)
    return swept, found


@pytest.mark.parametrize(
    "arguments",
    [
        ("lora.r=8,16,32",),
        ("lora.r=8,16", "optim.lr=1e-4,2e-4"),
        ("method=lora,qlora", "lora.r=4,8", "seed=range(0,3)"),
        ("data.mix.dialogue=0.5,1", "model=tiny,smollm2-135m"),
        ("corpus=saltmere,holmes", "persona=pell"),
        ("tracker=glob(*)",),
        ("corpus=holmes,saltmere", "corpus.name=mine"),
        ("data.size=null,5", "train.max_steps=3"),
        ("corpus.books=[a.txt],[a.txt,b.txt]",),
    ],
)
def test_each_point_is_what_hydra_composes(loader, composed, arguments):
    _, found = points(loader, *arguments)
    for point in found:
        fixed = [argument for argument in arguments if argument.split("=")[0] not in point.overrides]
        chosen = [f"{key}={_text(value)}" for key, value in point.overrides.items()]
        assert point.config == composed(*chosen, *fixed)


def test_every_combination_once(loader):
    swept, found = points(loader, "lora.r=8,16,32", "optim.lr=1e-4,2e-4", "train.epochs=1")
    assert swept == ["lora.r", "optim.lr"]
    assert [(p.overrides["lora.r"], p.overrides["optim.lr"]) for p in found] == [(r, lr) for r in (8, 16, 32) for lr in (1e-4, 2e-4)]


def test_values_compose_once(loader, monkeypatch):
    calls = []
    original = ConfigLoaderImpl.load_configuration
    monkeypatch.setattr(ConfigLoaderImpl, "load_configuration", lambda *a, **k: calls.append(a) or original(*a, **k))
    points(loader, "lora.r=range(1,51)", "method=lora,qlora")
    assert len(calls) == 2


def test_points_share_nothing(loader):
    _, (first, second) = points(loader, "lora.r=8,16")
    first.config.optim.lr = 7
    assert second.config.optim.lr != 7


def test_no_sweep_is_one_point(loader):
    swept, found = points(loader, "lora.r=8")
    assert swept == []
    assert [point.overrides for point in found] == [{}]


def test_a_continuous_range_is_refused(loader):
    with pytest.raises(UserError, match="list its values"):
        points(loader, "optim.lr=interval(0,1)")


def _text(value):
    if value is None:
        return "null"
    return "[" + ",".join(map(str, value)) + "]" if OmegaConf.is_list(value) or isinstance(value, list) else value
