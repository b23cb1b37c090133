"""What is suggested: by define-by-run functions too, with configs made of what was composed at submission."""

import json

import pytest
from omegaconf import OmegaConf

from persona_exp.errors import UserError
from persona_exp.search.composed_configs import composed_beforehand, read_composed
from persona_exp.search.rebuilt_study import RebuiltStudy
from persona_exp.search.suggestion import ask_next
from tests.search.studies import OneMethod, a_search, ask_once, evaluate


def more(config, trial):
    """A function as hydra-optuna-sweeper's documentation has them."""
    assert config.method.name == "lora"
    if trial.suggest_float("lora.dropout", 0.0, 0.4) > 0.2:
        trial.suggest_int("optim.effective_batch_size", 4, 8, step=4)


def test_a_function_may_suggest_more(tmp_path):
    folder = a_search(tmp_path / "runs" / "sweeps" / "s", ("lora.r=choice(4,8)",), custom_search_space="tests.search.test_suggestion.more")
    study = RebuiltStudy(folder)
    for _ in range(12):
        evaluate(folder, ask_once(study))
    keys = {frozenset(ask.overrides) for ask in study.asks}
    assert keys == {frozenset({"lora.r", "lora.dropout"}), frozenset({"lora.r", "lora.dropout", "optim.effective_batch_size"})}
    again = RebuiltStudy(folder)
    again.refresh()
    assert [one.params for one in again.study.get_trials()] == [ask.params for ask in study.asks]
    assert [one.distributions.keys() for one in again.study.get_trials()] == [ask.params.keys() for ask in study.asks]


def test_configs_come_of_what_was_composed_and_nothing_else(tmp_path, composed, monkeypatch):
    folder = tmp_path / "runs" / "sweeps" / "s"
    folder.mkdir(parents=True)
    whole = OmegaConf.to_container(composed("model=tiny"), resolve=False)
    inputs = {"model_location": "x", "model_revision": None, "model_digest": "d", "data_id": "i", "data_sha256": None}
    (folder / "composed.json").write_text(json.dumps([{"choices": {"method": "lora"}, "composed": whole, "inputs": inputs}]))
    monkeypatch.chdir(tmp_path)
    read = read_composed(folder)
    config = read.config({"method": "lora"}, ["lora.r=4", "optim.lr=0.003", "lora.target_modules=[q_proj]"])
    assert (config.lora.r, config.optim.lr, config.lora.target_modules) == (4, 0.003, ["q_proj"])
    assert config.evaluation.split == "validation"
    assert read.config({"method": "lora"}, []).optim.lr == config.model.lr, "interpolations are resolved anew"
    assert read.inputs({"method": "lora"}).data_id == "i"
    monkeypatch.setenv("PERSONA_EXP_RUNS", "/elsewhere")
    assert read.config({"method": "lora"}, []).runs == str(tmp_path / "runs"), "the search's own, wherever a worker stands"
    with pytest.raises(UserError, match=r"lora\.r"):
        read.config({"method": "lora"}, ["lora.r=-1"])


def test_a_torn_file_of_what_was_composed_is_one_sentence(tmp_path):
    (tmp_path / "composed.json").write_text("[{")
    with pytest.raises(UserError, match="give the search's command again"):
        read_composed(tmp_path)


def test_what_decides_on_data_or_model_must_be_listed(composed):
    from hydra.core.override_parser.overrides_parser import OverridesParser

    from persona_exp.search.search_space import setting_of

    parse = OverridesParser.create().parse_override
    lines = (
        "model=tiny,smollm2-135m",
        "data.mix.qa=interval(0,1)",
        "data.size=range(16,64,16)",
        "corpus.passage_words=200,300",
        "lora.r=4,8",
    )
    space = [setting_of(parse(line)) for line in lines]
    assert [one.name for one in composed_beforehand(space, lambda key: key == "model")] == ["model", "corpus.passage_words"]
    with pytest.raises(UserError, match="list its values"):
        composed_beforehand([setting_of(parse("corpus.passage_words=interval(200,300)"))], lambda key: False)


def test_nothing_is_asked_beyond_the_number_of_trials(tmp_path):
    study = RebuiltStudy(a_search(tmp_path / "runs" / "sweeps" / "s", n_trials=2))
    assert [ask_once(study, OneMethod()) is None for _ in range(3)] == [False, False, True]


def test_a_worker_notices_that_more_trials_are_asked_for(tmp_path):
    folder = a_search(tmp_path / "runs" / "sweeps" / "s", n_trials=1)
    study = RebuiltStudy(folder)
    ask_once(study)
    assert study.n_trials() == 1
    a_search(folder, n_trials=3)
    assert study.n_trials() == 3


@pytest.mark.long
def test_settings_that_do_not_go_together_make_an_ask_that_is_refused(tmp_path, composed):
    folder = tmp_path / "runs" / "sweeps" / "s"
    a_search(folder, ("train.max_steps=choice(20,100)",), n_trials=4, sampler={"_target_": "grid"})
    whole = OmegaConf.to_container(composed("model=tiny", "optim.warmup_steps=50", "engine=noop"), resolve=False)
    inputs = {"model_location": "x", "model_revision": None, "model_digest": "d", "data_id": "noop", "data_sha256": None}
    (folder / "composed.json").write_text(json.dumps([{"choices": {}, "composed": whole, "inputs": inputs}]))
    study = RebuiltStudy(folder)
    first, second = ask_next(study, read_composed(folder)), ask_next(study, read_composed(folder))
    assert (first.trials, second.refused) == ((), None)
    assert "optim.warmup_steps=50 is not below train.max_steps=20" in first.refused
    assert second.trials
