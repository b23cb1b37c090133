"""Every sampler suggests the same whoever asks: one process, several, or a new one each time."""

import pytest

from persona_exp.errors import UserError
from persona_exp.search.rebuilt_study import RebuiltStudy
from persona_exp.search.samplers import make_sampler, sampler_seed
from persona_exp.search.study_settings import WarmStart
from tests.search.studies import SPACE, a_search, ask_once, evaluate

CONF = {
    "tpe": {"_target_": "optuna.samplers.TPESampler", "n_startup_trials": 5, "multivariate": True},
    "random": {"_target_": "optuna.samplers.RandomSampler"},
    "cmaes": {"_target_": "optuna.samplers.CmaEsSampler", "warn_independent_sampling": False},
    "nsgaii": {"_target_": "optuna.samplers.NSGAIISampler", "population_size": 8},
    "grid": {"_target_": "grid"},
    "gp": {"_target_": "optuna.samplers.GPSampler", "n_startup_trials": 5, "warn_independent_sampling": False},
    "qmc": {"_target_": "optuna.samplers.QMCSampler", "scramble": True, "warn_independent_sampling": False},
}
LISTED = ("optim.lr=range(0.0001,0.001,0.0001)", "lora.r=choice(4,8,16)", "lora.dropout=0,0.1")


def suggestions(folder, studies, number, running=0):
    """What `number` asks suggest, `running` of them always without a result; `studies` gives the process that asks."""
    asks = []
    for turn in range(number):
        asks.append(ask_once(studies(turn)))
        if turn >= running:
            evaluate(folder, asks[turn - running])
    return [ask.overrides for ask in asks]


@pytest.mark.long
@pytest.mark.parametrize("running", [pytest.param(0, marks=pytest.mark.thorough), 3])
@pytest.mark.parametrize("name", CONF)
def test_one_process_two_and_a_new_one_each_time_suggest_the_same(tmp_path, name, running):
    number = 40 if name != "gp" else 12
    space = LISTED if name == "grid" else SPACE
    folders = [a_search(tmp_path / str(way) / "sweeps" / "s", space, sampler=CONF[name]) for way in range(3)]
    one = RebuiltStudy(folders[0])
    pair = [RebuiltStudy(folders[1]), RebuiltStudy(folders[1])]
    ways = [lambda turn: one, lambda turn: pair[turn % 2], lambda turn: RebuiltStudy(folders[2])]
    first, *others = [suggestions(folder, way, number, running) for folder, way in zip(folders, ways, strict=True)]
    assert all(other == first for other in others)
    # A genetic algorithm may keep a point as it is.
    assert name == "nsgaii" or len({tuple(one.items()) for one in first}) == number


def test_the_seed_of_the_study_and_the_number_decide():
    assert len({sampler_seed(seed, number) for seed in range(10) for number in range(100)}) == 1000
    assert sampler_seed(0, 0) == sampler_seed(0, 0)


@pytest.mark.parametrize("name", ["tpe", "random", "qmc"])
def test_what_is_known_from_the_start_is_not_asked_again(tmp_path, name):
    first = a_search(tmp_path / "sweeps" / "first", sampler=CONF[name])
    study = RebuiltStudy(first)
    asks = [ask_once(study) for _ in range(3)]
    known = tuple(WarmStart(ask.trials[0].trial_id, "first", ask.overrides, (1.0,)) for ask in asks)
    second = RebuiltStudy(a_search(tmp_path / "sweeps" / "second", sampler=CONF[name], warm=known))
    again = [ask_once(second).overrides for _ in range(3)]
    assert not [one for one in again if one in [ask.overrides for ask in asks]]


def test_a_grid_has_every_combination_once(tmp_path):
    folder = a_search(tmp_path / "runs" / "sweeps" / "s", LISTED[1:], sampler=CONF["grid"], n_trials=6)
    study = RebuiltStudy(folder)
    found = [ask_once(study).overrides for _ in range(6)]
    assert [(one["lora.r"], one["lora.dropout"]) for one in found] == [(r, p) for r in ("4", "8", "16") for p in ("0", "0.1")]


def test_a_grid_of_a_continuous_range_is_refused(tmp_path):
    folder = a_search(tmp_path / "runs" / "sweeps" / "s", SPACE, sampler=CONF["grid"])
    with pytest.raises(UserError, match=r"optim\.lr is a continuous range"):
        ask_once(RebuiltStudy(folder))


@pytest.mark.parametrize(
    ("sampler", "words"),
    [
        ({"_target_": "optuna.samplers.TPESampler", "n_startups": 3}, "n_startups"),
        ({"_target_": "optuna.samplers.NoSuchSampler"}, "NoSuchSampler"),
        ({"_target_": "optuna.pruners.MedianPruner"}, "hydra.sweeper.sampler"),
    ],
)
def test_what_optuna_does_not_know_is_one_sentence(sampler, words):
    with pytest.raises(UserError, match=words):
        make_sampler(sampler, [], study_seed=0, number=0, offset=0)


@pytest.mark.long
@pytest.mark.parametrize("name", ["tpe", *(pytest.param(one, marks=pytest.mark.thorough) for one in ("gp", "cmaes"))])
def test_it_learns(tmp_path, name):
    folder = a_search(
        tmp_path / "runs" / "sweeps" / "s", ("optim.lr=tag(log,interval(1e-6,1))", "lora.dropout=interval(0,0.3)"), sampler=CONF[name]
    )
    study = RebuiltStudy(folder)
    suggestions(folder, lambda turn: study, 30)
    study.refresh()
    assert study.study.best_value < 0.15
