"""The grid: Hydra's grammar, every combination once, what Hydra itself would compose."""

import pytest
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from persona_exp.errors import UserError
from persona_exp.search.grid import grid


@pytest.fixture
def loader(composed):
    return GlobalHydra.instance().config_loader()


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
    original = type(loader).load_configuration
    monkeypatch.setattr(type(loader), "load_configuration", lambda *a, **k: calls.append(a) or original(*a, **k))
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


PAIRS = [{"model": "tiny", "method": "lora"}, {"model": "smollm2-135m", "method": "lora,qlora", "optim.effective_batch_size": 4}]


def paired(loader, pairs, *arguments):
    return grid(arguments, config_name="config", hydra_overrides=[], loader=loader, pairs=pairs)


def test_pairs_go_together_and_are_crossed_with_the_swept_settings(loader, composed):
    swept, found = paired(loader, PAIRS, "seed=0,1")
    assert swept == ["model", "method", "optim.effective_batch_size", "seed"]
    together = [("tiny", "lora"), ("smollm2-135m", "lora"), ("smollm2-135m", "qlora")]
    assert [(p.overrides["model"], p.overrides["method"], p.overrides["seed"]) for p in found] == [
        (*two, seed) for two in together for seed in (0, 1)
    ]
    assert found[-1].config == composed("model=smollm2-135m", "method=qlora", "optim.effective_batch_size=4", "seed=1")


def test_pairs_compose_once_per_combination_of_groups(loader, monkeypatch):
    calls = []
    original = type(loader).load_configuration
    monkeypatch.setattr(type(loader), "load_configuration", lambda *a, **k: calls.append(a) or original(*a, **k))
    paired(loader, [*PAIRS, {"model": "tiny", "method": "lora", "lora.r": "2,4"}], "seed=range(0,50)")
    assert len(calls) == 3


def test_the_command_line_takes_a_setting_out_of_pairs(loader):
    rows = [{"seed": "0,1", "evaluation.split": "validation"}, {"seed": "10,11", "evaluation.split": "test"}]
    _, found = paired(loader, rows, "evaluation.split=test")
    assert [p.overrides for p in found] == [{"seed": seed} for seed in (0, 1, 10, 11)]
    _, found = paired(loader, rows, "seed=3")
    assert [(p.overrides, p.config.seed) for p in found] == [({"evaluation.split": split}, 3) for split in ("validation", "test")]


def test_a_continuous_range_in_a_pair_is_refused(loader):
    with pytest.raises(UserError, match="list its values"):
        paired(loader, [{"optim.lr": "interval(0,1)"}])
