"""Command lines of hydra-optuna-sweeper's documentation give the distributions that they had, but for what is said on the screen."""

import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution as Choice
from optuna.distributions import FloatDistribution as Float
from optuna.distributions import IntDistribution as Int

from persona_exp.errors import UserError
from persona_exp.search.search_space import Setting, setting_of, settings_of_search_space, widened

parse = OverridesParser.create().parse_override

# The keys of the documentation's examples, x, y, z and model.*, are no settings of ours: without a type of the schema.
LINES = {
    "+x=interval(-5.0,5.0)": Float(-5.0, 5.0),
    "+x=interval(1,5)": Float(1.0, 5.0),
    "+y=interval(1,10)": Float(1.0, 10.0),
    "+x=int(interval(1,8))": Int(1, 8),
    "+x=tag(log,int(interval(1,8)))": Int(1, 8, log=True),
    "+x=tag(log,interval(0.00001,1))": Float(1e-5, 1.0, log=True),
    "+x=tag(log,interval(1e-4,1e-1))": Float(1e-4, 1e-1, log=True),
    "+y=choice(-5,0,5)": Choice([-5, 0, 5]),
    "+y=-5,0,5": Choice([-5, 0, 5]),
    "+key=choice(1,2)": Choice([1, 2]),
    "+key=choice(true,false)": Choice([True, False]),
    "+key=choice('hello','world')": Choice(["hello", "world"]),
    "+key=choice(0.1,0.2)": Choice([0.1, 0.2]),
    "+key=shuffle(range(1,3))": Choice([1, 2]),
    "+key=shuffle(choice(a,b))": Choice(["a", "b"]),
    "+key=range(1,3)": Int(1, 2),
    "+key=range(1,8,2)": Int(1, 7, step=2),
    "+x=range(-5.5,5.5,step=0.5)": Float(-5.5, 5.0, step=0.5),
    "+key=range(0,1,step=0.25)": Float(0.0, 0.75, step=0.25),
    "+w=[1,2],[3,4]": Choice(["[1,2]", "[3,4]"]),
}


@pytest.mark.parametrize("line", LINES)
def test_the_documentations_lines(line):
    assert setting_of(parse(line)).distribution == LINES[line]


def test_a_glob_chooses_among_options(composed):
    composed()
    found = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader()).parse_overrides(["model=glob(qwen3-0*)"])
    assert setting_of(*found) == Setting("model", Choice(["qwen3-0.6b"]), ("qwen3-0.6b",))


@pytest.mark.parametrize(
    ("line", "distribution"),
    [
        ("lora.r=tag(log,interval(4,64))", Int(4, 64, log=True)),
        ("lora.r=interval(4.5,16.5)", Int(5, 16)),
        ("lora.r=range(4,17,4)", Int(4, 16, step=4)),
        ("optim.lr=range(1,4)", Int(1, 3)),
        ("lora.r=tag(ordered,choice(8,16,32))", Int(0, 2)),
        ("method=choice(lora,full)", Choice(["lora", "full"])),
    ],
)
def test_the_schema_and_our_own_tag_decide(line, distribution):
    assert setting_of(parse(line)).distribution == distribution


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("optim.lr=interval(1,1)", "empty"),
        ("optim.lr=tag(log,interval(0,1))", "logarithm"),
        ("optim.lr=range(3,3)", "empty"),
        ("lora.r=interval(4.2,4.8)", "whole number"),
        ("lora.r=range(4,5,0.5)", "whole numbers"),
        ("lora.rslora=interval(0,1)", "true and false"),
        ("lora.r=tag(log,choice(8,16))", "does nothing"),
        ("lora.r=tag(ordered,interval(8,16))", "does nothing"),
        ("evaluation.likelihood_items=10,20", "changes no trial"),
        ("bundle.size=1,2", "changes no trial"),
        ("optim.lr=tag(log,range(1,9,2))", "logarithm"),
    ],
)
def test_what_cannot_be_searched_is_one_sentence(line, words):
    with pytest.raises(UserError, match=words):
        setting_of(parse(line))


@given(
    st.lists(
        st.one_of(st.integers(-99, 99), st.floats(-9, 9, allow_nan=False), st.text("abc_", min_size=1)),
        min_size=1,
        max_size=6,
        unique_by=str,
    )
)
def test_a_choices_text_is_read_back_as_its_value(values):
    setting = setting_of(parse(f"+key=choice({','.join(map(str, values))})"))
    for value in setting.points():
        assert setting.value(setting.text(value)) == value
        assert parse(f"+key={setting.text(value)}").value() == value


@given(st.floats(1e-9, 1e9))
def test_a_numbers_text_is_read_back_as_it_was(value):
    setting = setting_of(parse("optim.lr=interval(0,1e9)"))
    assert parse(f"optim.lr={setting.text(value)}").value() == value == setting.value(setting.text(value))


def test_it_goes_through_json():
    for line in (*LINES, "lora.r=tag(ordered,choice(8,16,32))"):
        setting = setting_of(parse(line))
        assert Setting.from_json(setting.to_json()) == setting


def test_the_older_search_space():
    space = {
        "x": {"type": "float", "low": -5.5, "high": 5.5, "step": 0.5},
        "y": {"type": "categorical", "choices": [-5, 0, 5]},
        "z": {"type": "int", "low": 1, "high": 8},
        "w": {"type": "float", "low": 1e-5, "high": 1, "log": True},
    }
    found = settings_of_search_space(space, lambda line: parse(f"+{line}"))
    assert [one.distribution for one in found] == [
        Float(-5.5, 5.5, step=0.5),
        Choice([-5, 0, 5]),
        Int(1, 8),
        Float(1e-5, 1, log=True),
    ]
    with pytest.raises(UserError, match="lacks 'high'"):
        settings_of_search_space({"x": {"type": "int", "low": 1}}, parse)


def test_a_range_may_widen_within_a_study_and_a_choice_may_not_change():
    before = [setting_of(parse(line)) for line in ("optim.lr=interval(0.1,0.2)", "lora.r=choice(8,16)")]
    wider = [setting_of(parse(line)) for line in ("optim.lr=interval(0.01,0.3)", "lora.r=choice(8,16)")]
    assert widened(wider, before) == wider
    with pytest.raises(UserError, match="only widen"):
        widened([setting_of(parse("optim.lr=interval(0.15,0.2)")), before[1]], before)
    for line in ("lora.r=choice(8,16,32)", "lora.r=choice(16,8)", "lora.alpha=choice(8,16)"):
        with pytest.raises(UserError, match=r"sweep\.name"):
            widened([before[0], setting_of(parse(line))], before)
