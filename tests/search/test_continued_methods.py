"""A search goes on with the sampler and the pruner that it was begun with."""

import pytest

from persona_exp.errors import UserError
from persona_exp.search.continued_methods import continued_methods
from persona_exp.search.study_settings import read_settings, search_file, write_settings
from tests.search.studies import TPE, a_search, replace

ASHA = {"_target_": "optuna.pruners.SuccessiveHalvingPruner", "pauses": True, "min_resource": 2, "reduction_factor": 3}
HALVING = {**ASHA, "reduction_factor": 2}
MEDIAN = {"_target_": "optuna.pruners.MedianPruner", "n_startup_trials": 5}
FACTOR = "hydra.sweeper.pruner.reduction_factor"


@pytest.fixture
def before(tmp_path):
    return read_settings(a_search(tmp_path / "s", pruner=ASHA, pauses=True))


@pytest.mark.parametrize(
    ("asked", "names", "pruner", "says"),
    [
        (HALVING, {"hydra/sweeper/pruner"}, ASHA, f"The search keeps {FACTOR}=3, not 2, the default: name it to change it."),
        (
            HALVING,
            {"hydra/sweeper/pruner", FACTOR},
            HALVING,
            f"{FACTOR} changed from 3 to 2: asks paused or pruned so far stopped at other rungs.",
        ),
        (None, set(), ASHA, "The search keeps its pruner SuccessiveHalvingPruner, not none, the default"),
        (MEDIAN, {"hydra/sweeper/pruner"}, MEDIAN, "The pruner changed from SuccessiveHalvingPruner to MedianPruner: asks paused"),
        (None, {"hydra/sweeper/pruner"}, None, "The pruner changed from SuccessiveHalvingPruner to none: asks paused"),
    ],
)
def test_what_is_recorded_stays_but_for_what_the_command_names(before, asked, names, pruner, says):
    found, said = continued_methods(before, replace(before, pruner=asked, pauses=bool(asked and asked.get("pauses"))), names)
    assert (found.pruner, found.pauses) == (pruner, bool(pruner and pruner.get("pauses")))
    assert len(said) == 1
    assert said[0].startswith(says)


def test_the_same_command_says_nothing_and_changes_nothing(before):
    assert continued_methods(before, before, {"hydra/sweeper/pruner"}) == (before, [])


def test_a_seed_stays_too_unless_it_is_named(tmp_path):
    before = read_settings(a_search(tmp_path / "s", sampler={**TPE, "seed": 7}, seed=7))
    asked = replace(before, sampler={**TPE, "seed": None}, seed=0)
    found, said = continued_methods(before, asked, set())
    assert (found.seed, found.sampler["seed"], len(said)) == (7, 7, 1)
    found, said = continued_methods(before, asked, {"hydra.sweeper.sampler.seed"})
    assert (found.seed, found.sampler["seed"]) == (0, None)
    assert said[0].startswith("hydra.sweeper.sampler.seed changed from 7 to null")


def test_a_setting_of_another_sampler_is_refused(before):
    asked = replace(before, sampler={"_target_": "optuna.samplers.CmaEsSampler", "sigma0": 0.1})
    with pytest.raises(UserError, match=r"hydra\.sweeper\.sampler\.sigma0 is none of TPESampler's"):
        continued_methods(before, asked, {"hydra.sweeper.sampler.sigma0"})


def test_the_command_of_a_search_says_what_it_keeps(before, tmp_path, capsys):
    from persona_exp.config.schema.sweep_label import SweepLabel
    from persona_exp.launch.launch_search import _continued
    from persona_exp.search.composed_configs import ComposedConfigs
    from persona_exp.search.study_request import StudyRequest

    request = StudyRequest(replace(before, pruner=HALVING, n_trials=60), ComposedConfigs([]), None, (), SweepLabel(), ())
    found = _continued(tmp_path / "s", request, {"hydra/sweeper/pruner", "hydra.sweeper.n_trials"})
    assert (found.pruner, found.n_trials) == (ASHA, 60)
    assert capsys.readouterr().out == f"The search keeps {FACTOR}=3, not 2, the default: name it to change it.\n"
    assert _continued(tmp_path / "s", request, {FACTOR}).pruner == HALVING
    assert f"{FACTOR} changed from 3 to 2" in capsys.readouterr().out


def test_a_damaged_file_of_the_search_is_written_anew_by_its_command(before, tmp_path, capsys):
    from persona_exp.config.schema.sweep_label import SweepLabel
    from persona_exp.launch.launch_search import _continued
    from persona_exp.search.composed_configs import ComposedConfigs
    from persona_exp.search.study_request import StudyRequest

    path = search_file(tmp_path / "s")
    path.write_text(path.read_text()[:40])
    found = _continued(tmp_path / "s", StudyRequest(before, ComposedConfigs([]), None, (), SweepLabel(), ()), set())
    assert found == before
    assert "is damaged: it is written anew from this command, whose settings are taken for those of its 0 asks." in capsys.readouterr().out
    kept = write_settings(tmp_path / "s", found)
    assert kept.read_text() != path.read_text()
    assert read_settings(tmp_path / "s") == before
