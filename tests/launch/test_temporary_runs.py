"""The folder in which a dry run seals and builds."""

import pytest

from persona_exp.damaged_records import Damaged
from persona_exp.errors import UserError
from persona_exp.launch.temporary_runs import own_trial, temporary_runs
from persona_exp.trial.trial_dataset import refuse_to_ask
from persona_exp.trial.trial_directory import TrialDirectory


def test_all_of_runs_is_there_and_what_is_written_is_gone_afterwards(tmp_path):
    runs = tmp_path / "runs"
    for name in ("trials/a/seals/1.json", "trials/a/attempts/0001.json", "data/d/train.jsonl", "data/.d.lock", "sweeps/s/sweep.yaml"):
        (runs / name).parent.mkdir(parents=True, exist_ok=True)
        (runs / name).write_text(name)
    before = sorted(runs.rglob("*"))
    with temporary_runs(runs) as there:
        assert (there / "trials/a/seals/1.json").read_text() == "trials/a/seals/1.json"
        assert (there / "trials/a/attempts/0001.json").read_text() == "trials/a/attempts/0001.json"
        assert (there / "sweeps/s/sweep.yaml").is_file()
        assert not (there / "data/.d.lock").exists()
        own_trial(TrialDirectory(there / "trials/a"))
        assert (there / "trials/a/seals/1.json").read_text() == "trials/a/seals/1.json"
        assert (there / "trials/a/attempts/0001.json").read_text() == "trials/a/attempts/0001.json"
        (there / "trials/a/seals/2.json").write_text("")
        (there / "trials/a/seals/1.json").rename(there / "trials/a/seals/1.json.damaged")
        (there / "trials/b").mkdir()
        (there / "data/d/tokens").mkdir()
        (there / "code").mkdir()
    assert not there.exists()
    assert sorted(runs.rglob("*")) == before


def test_a_trial_that_is_not_asked_for_is_not_looked_into(tmp_path):
    trials = tmp_path / "runs" / "trials"
    (trials / "a").mkdir(parents=True)
    (trials / "a").chmod(0)
    (trials / "gone").symlink_to(trials / "nowhere")
    with temporary_runs(tmp_path / "runs") as there:
        assert {path.name for path in (there / "trials").iterdir()} == {"a", "gone"}
        own_trial(TrialDirectory(there / "trials" / "new"))
        assert not (there / "trials" / "new").exists()
    (trials / "a").chmod(0o700)


def test_without_runs_it_is_empty_and_a_refusal_names_runs(tmp_path):
    runs = tmp_path / "runs"

    def refuse():
        with temporary_runs(runs) as there:
            raise Damaged(f"{there / 'data'} is damaged, of {len(list(there.iterdir()))}.")

    with pytest.raises(Damaged) as refused:
        refuse()
    assert str(refused.value) == f"{runs / 'data'} is damaged, of 0."
    assert not runs.exists()


def test_no_language_model_is_asked(config, tmp_path):
    here = f"runs={tmp_path}"
    refuse_to_ask(config("model=tiny", here))
    refuse_to_ask(config("model=tiny", "teacher=openai", "teacher.model=x", "engine=noop", here))
    with pytest.raises(UserError, match="A dry run asks no teacher, and teacher=openai has not written these data yet"):
        refuse_to_ask(config("model=tiny", "teacher=openai", "teacher.model=x", here))
