"""`persona-exp search` over searches whose trials nobody trains."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

from persona_exp.cli.main import main
from persona_exp.launch.sweeps import finish_sweep, trial_set
from persona_exp.search import composed_configs
from persona_exp.search.ask_files import ask_path
from persona_exp.search.rebuilt_study import RebuiltStudy
from persona_exp.search.study_settings import WarmStart
from tests.search.studies import a_search, ask_once, attempt, evaluate

ASHA = {"_target_": "optuna.pruners.SuccessiveHalvingPruner", "min_resource": 2, "reduction_factor": 2, "bootstrap_count": 0}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return a function that makes a search under $PERSONA_EXP_RUNS."""
    monkeypatch.setenv("PERSONA_EXP_RUNS", str(tmp_path / "runs"))

    def make(name="s", **settings) -> Path:
        made = a_search(tmp_path / "runs" / "sweeps" / name, **settings)
        (made / "sweep.yaml").write_text(
            yaml.safe_dump({"name": name, "command": "python run.py", "swept": [], "created": "2026-12-01T00:00:00+00:00", "trials": []})
        )
        composed = {"method": {"name": "lora"}, "lora": {"r": 16}, "optim": {"lr": 0.0002}}
        entry = composed_configs._Entry({}, OmegaConf.create(composed), {})
        composed_configs.ComposedConfigs([entry]).write(made)
        return made

    return make


def asked(folder, number):
    """Make so many asks, and return them."""
    study = RebuiltStudy(folder)
    return [ask_once(study) for _ in range(number)]


def shown(capsys, *arguments):
    """Return what the command prints."""
    assert main(["search", *arguments]) == 0
    return capsys.readouterr().out


def answered(capsys, *arguments):
    return json.loads(shown(capsys, *arguments, "--json"))


def test_the_best_the_counts_and_what_is_next(folder, capsys):
    search = folder(n_trials=6)
    asks = asked(search, 4)
    for ask, value in zip(asks[:3], (0.9, 0.5, 0.7), strict=True):
        evaluate(search, ask, value)
    text = shown(capsys, "s")
    assert "4 of 6 trials asked for: 3 complete, 1 open" in text
    assert "Best: ask 1, bits_per_byte 0.5 (trial a00000000001)" in text
    assert "(default 0.0002)" in text
    assert "Next: ask 3 (open)" in text
    assert "needs 20 finished trials, and there are 3" in text
    evaluate(search, asks[3], 0.8)
    found = answered(capsys, "s")
    assert (found["best"], found["counts"], found["next"]["kind"], found["next"]["number"]) == ([1], {"complete": 4}, "new", 4)
    assert "at random until 5 trials have a result" in found["next"]["why"]
    assert not ask_path(search, 4).exists(), "what is shown is not asked"
    (made,) = asked(search, 1)
    assert made.overrides == found["next"]["overrides"], "and it is what will be asked"


def test_what_was_given_up_and_why(folder, capsys):
    search = folder(n_trials=5, pruner=ASHA, pauses=True)
    asks = asked(search, 4)
    attempt(search, "a00000000000", losses={2: 1.0}, status="interrupted", cause="paused", search="s", message="paused")
    attempt(search, "a00000000001", losses={2: 2.0}, status="interrupted", cause="paused", search="s", message="paused")
    attempt(search, "a00000000002", losses={2: 3.0}, status="interrupted", cause="pruned", search="s", message="pruned")
    attempt(search, "a00000000003", status="failed", cause="ValueError", message="no such thing")
    ask_path(search, 4).write_text("{torn")
    found = answered(capsys, "s")
    assert found["counts"] == {"paused": 2, "pruned": 1, "failed": 1, "damaged": 1}
    assert found["damaged"] == [4]
    text = shown(capsys, "s")
    assert "asks/000004.json" in text
    assert "1 ask (3) failed: failed (ValueError): no such thing" in text
    assert f"Next: ask {asks[0].number} (promoted)" in text
    assert "paused at step 2" in text
    assert "No trial has finished yet" in text


def test_several_objectives_have_a_front_and_broken_constraints_no_part_in_it(folder, capsys):
    search = folder(objectives=("bits_per_byte", "seconds"), directions=("minimize", "minimize"), constraints=("rougeL>=0.1",))
    for ask, (value, seconds, rouge) in zip(asked(search, 4), [(1, 9, 0.5), (2, 5, 0.5), (3, 8, 0.5), (0.5, 1, 0.0)], strict=True):
        evaluate(search, ask, value, seconds=seconds, rougeL=rouge)
    assert answered(capsys, "s")["best"] == [0, 1]
    text = shown(capsys, "s")
    assert "Pareto front: 2 trials" in text
    assert "breaks rougeL>=0.1" in text


def test_warm_starts_are_told_apart(folder, capsys):
    overrides = {"optim.lr": "0.001", "lora.r": "8", "lora.dropout": "0.1"}
    search = folder(warm=(WarmStart("aaaabbbbcccc", "before", overrides, (0.1,)),))
    evaluate(search, asked(search, 1)[0], 0.5)
    found = answered(capsys, "s")
    assert (found["best"], found["best_warm"], len(found["asks"])) == ([], [0], 1)
    text = shown(capsys, "s")
    assert "Best: warm start 1, bits_per_byte 0.1 (trial aaaabbbbcccc of before)" in text
    assert "known from the start: 1 trial of before" in text


def test_optuna_loads_what_is_exported(folder, capsys, tmp_path):
    import optuna

    search = folder(pruner=ASHA, objectives=("eval_loss",))
    for ask in asked(search, 8)[:6]:
        evaluate(search, ask, name="eval_loss")
    attempt(search, "a00000000006", losses={2: 1.0, 4: 0.9}, status="interrupted", cause="pruned", search="s", message="pruned")
    ask_path(search, 8).write_text("{torn")
    study = RebuiltStudy(search)
    study.refresh()
    ours = study.study.get_trials()
    journal = tmp_path / "journal.log"
    for _ in range(2):
        assert "9 trials" in shown(capsys, "s", "--export", str(journal))
        backend = optuna.storages.journal.JournalFileBackend(str(journal))
        loaded = optuna.load_study(study_name="s", storage=optuna.storages.JournalStorage(backend))
        assert [(one.state, one.values, one.params, one.distributions, one.intermediate_values) for one in loaded.trials] == [
            (one.state, one.values, one.params, one.distributions, one.intermediate_values) for one in ours
        ]
    assert loaded.best_trial.user_attrs["trial_ids"] == [f"a{study.study.best_trial.number:011}"]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == [], "nothing stays beside it"
    url = f"sqlite:///{tmp_path / 'x.db'}"
    for _ in range(2):
        shown(capsys, "s", "--export", url)
        assert [one.values for one in optuna.load_study(study_name="s", storage=url).trials] == [one.values for one in ours]
    (tmp_path / "mine.log").write_text("a log of mine\n")
    assert main(["search", "s", "--export", str(tmp_path / "mine.log")]) == 2
    assert (tmp_path / "mine.log").read_text() == "a log of mine\n"


def test_importance_finds_what_matters_and_says_what_does_not(folder, capsys):
    search = folder(
        space=("optim.lr=tag(log,interval(1e-5,1e-2))", "lora.dropout=interval(0,0.3)"),
        sampler={"_target_": "optuna.samplers.RandomSampler"},
    )
    for ask in asked(search, 40):
        # Nothing but the rate matters.
        evaluate(search, ask, ask.params["optim.lr"])
    found = answered(capsys, "s")["importance"]
    first, second = found["settings"]
    assert (first["name"], first["beyond_chance"], second["beyond_chance"]) == ("optim.lr", True, False)
    assert first["share"] > 0.8
    assert first["low"] < first["share"] < first["high"]
    assert (found["trials"], found["part"]) == (40, 0.125)
    assert found == answered(capsys, "s")["importance"]
    assert "as by chance" in shown(capsys, "s")


def test_a_watch_ends_with_the_search(folder, capsys):
    search = folder(n_trials=2)
    for ask in asked(search, 2):
        evaluate(search, ask)
    assert shown(capsys, "s", "--watch").count("2 of 2 trials") == 1


def test_a_sweep_of_listed_values_is_no_search(folder, capsys):
    search = folder()
    (search / "search.json").unlink()
    assert main(["search", "s"]) == 2
    assert "not a search" in capsys.readouterr().err


def test_help_imports_no_optuna():
    code = "import sys\nfrom persona_exp.cli.main import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    said = subprocess.run(
        [sys.executable, "-c", code + "print([one for one in ('optuna', 'torch') if one in sys.modules])"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.splitlines()[-1] == "[]"


@pytest.mark.long
def test_figures_are_drawn_in_a_process_of_their_own(folder, capfd):
    search = folder()
    for ask in asked(search, 3):
        evaluate(search, ask)
    assert main(["search", "s", "--figures"]) == 0
    assert "search_history.pdf" in capfd.readouterr().out
    assert (search / "report" / "search_history.png").exists()


def test_a_cancelled_search_asks_for_no_more_until_it_is_taken_back(folder, capsys):
    made = folder(n_trials=5)
    (made / "seals.json").write_text("[]")
    asks = asked(made, 3)
    evaluate(made, asks[0])
    assert main(["cancel", "s"]) == 0
    said = capsys.readouterr().out
    assert "s asks for no more trials." in said
    assert json.loads((made / "hold.json").read_text())["cause"] == "cancelled"
    assert main(["retry", "s"]) == 0
    assert not (made / "hold.json").exists()


def test_a_search_without_asks_left_is_not_held(folder):
    made = folder(n_trials=2)
    (made / "seals.json").write_text("[]")
    asked(made, 2)
    assert main(["cancel", "s"]) == 0
    assert not (made / "hold.json").exists()


TORN = '{"step": 2, "ev\n{"step": 4, "eval_loss": 4.0}\n'


def torn(folder, **settings):
    """A search whose best ask has a torn line among its validation losses."""
    search = folder(n_trials=2, **settings)
    for number, (ask, value) in enumerate(zip(asked(search, 2), (0.5, 0.9), strict=True)):
        evaluate(search, ask, value)
        attempt(search, f"a0000000000{number}", losses={2: 1.0}, status="finished")
    (search.parents[1] / "trials" / "a00000000000" / "attempts" / "0001" / "validation.jsonl").write_text(TORN)
    return search


@pytest.mark.parametrize("settings", [{}, {"pruner": ASHA}], ids=["all", "pruned"])
def test_a_torn_loss_is_said_beside_its_ask_and_takes_nothing_from_the_others(folder, capsys, settings):
    torn(folder, **settings)
    found = answered(capsys, "s")
    assert (found["best"], found["counts"]) == ([0], {"complete": 2})
    assert [one["losses"] for one in found["asks"]] == [{}, {"2": 1.0}]
    assert "0001/validation.jsonl line 1 is not JSON" in found["asks"][0]["why"]
    assert found["asks"][1]["why"] is None
    text = " ".join(shown(capsys, "s").split())
    assert "Best: ask 0, bits_per_byte 0.5" in text
    assert "0001/validation.jsonl line 1 is not JSON" in text


def test_with_a_torn_loss_a_search_ends_and_is_written(folder, monkeypatch):
    search = torn(folder)
    monkeypatch.setattr(finish_sweep, "report", lambda *_, **__: 0)
    trial_set.write(search, [trial_set.SweepTrial("a00000000000/seals/5ea15ea1.json", "r=4", "fused")])
    finish_sweep.finish_sweep(search)
    written = json.loads((search / "report" / "search.json").read_text())
    assert written["best"] == [0]
    assert "validation.jsonl line 1 is not JSON" in written["asks"][0]["why"]


def test_why_answers_for_one_given_up_whose_losses_are_torn(folder, capsys):
    search = folder(n_trials=1, pruner=ASHA, pauses=True)
    asked(search, 1)
    attempt(search, "a00000000000", losses={2: 1.0}, status="interrupted", cause="paused", search="s", message="paused")
    trial = search.parents[1] / "trials" / "a00000000000"
    (trial / "attempts" / "0001" / "validation.jsonl").write_text(TORN)
    assert main(["why", "a00000000000"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "The search s paused it" in text
    assert "0001/validation.jsonl line 1 is not JSON" in text
