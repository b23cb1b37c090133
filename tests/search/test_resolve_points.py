"""The quick way to a sweep's configs gives what the slow one gives, and its errors."""

import pytest
from hydra.core.global_hydra import GlobalHydra

from persona_exp.config import compose
from persona_exp.errors import UserError
from persona_exp.search.grid import grid
from persona_exp.search.resolve_points import resolve_points


@pytest.fixture
def points(composed):
    loader = GlobalHydra.instance().config_loader()
    return lambda *arguments: grid(arguments, config_name="config", hydra_overrides=[], loader=loader)[1]


@pytest.mark.long
@pytest.mark.parametrize(
    "arguments",
    [
        ("seed=range(3)", "lora.r=8,16"),
        ("lora.r=8,16", "lora.alpha=4,8", "optim.lr=1e-4,2e-4"),
        ("data.size=null,5", "data.mix.dialogue=1,2"),
        # Referred to by optim.lr and lora.target_modules.
        ("model.lr=1e-3,2e-3",),
        ("model.target_modules=[q_proj],[v_proj]",),
        ("method=lora,full", "train.max_steps=1,2"),
        ("method.name=lora,none",),
        ("corpus.books=[a.txt],[a.txt,b.txt]",),
        ("runs=a,b", "seed=1,2"),
        ("persona.name=A,'B c'", "persona=own", "persona.period=now"),
        ("data.mix={dialogue:1},{dialogue:0.5}",),
        ("lora.alpha='${lora.r}',3",),
        ("+data.mix.books.adventures=0.5,1",),
        ("cluster.setup=[module],[other]",),
    ],
)
def test_the_same_configs(points, arguments):
    found = points(*arguments)
    assert resolve_points(found) == [compose.compose_trial(point.config) for point in found]


@pytest.mark.long
@pytest.mark.parametrize(
    "argument", ["lora.r=8,-3", "lora.r=8,four", "lora.rank=8,16", "seed=1,-1", "seed=1,null", "seed=1,1.5", "data.mix.books.x=1,2"]
)
def test_the_same_errors(points, argument):
    def refusal(resolver):
        with pytest.raises(Exception) as raised:  # noqa: PT011 (which one is what is compared)
            resolver(points(argument))
        return type(raised.value), compose.error_sentence(raised.value)

    kind, sentence = refusal(resolve_points)
    assert (kind, sentence) == refusal(lambda found: [compose.compose_trial(point.config) for point in found])
    assert kind is UserError or "Config" in kind.__name__


def test_a_thousand_points_are_checked_once(points, monkeypatch):
    calls = []
    original = compose.compose_trial
    monkeypatch.setattr(compose, "compose_trial", lambda config: calls.append(config) or original(config))
    assert len(resolve_points(points("seed=range(1000)", "lora.r=8"))) == 1000
    assert len(calls) == 1
