"""Sealing: the same config gives the same seal, and what trials share is read once."""

import json
import os
import shutil
import time
from dataclasses import replace

import pytest
import yaml

from persona_exp.atomic_files import digest
from persona_exp.errors import UserError
from persona_exp.modeling.model_cache import cache_folder
from persona_exp.modeling.tiny_test_model import fetch_tiny
from persona_exp.trial import max_length_check, trial_dataset
from persona_exp.trial import seal as sealing
from persona_exp.trial.seal import flush_to_disk, is_published, read_seal, seal
from persona_exp.trial.seal_facts import all_published, read_seal_facts

pytestmark = pytest.mark.usefixtures("one_copy_of_the_code")


@pytest.fixture
def builds(monkeypatch):
    """The seeds and splits of the configs that data were prepared for, in place of preparing any."""
    asked = []

    def prepare(config):
        asked.append(config)
        identity = digest([config.persona.name, config.data.min_reply_words])[:12]
        folder = trial_dataset.dataset_folder(sealing.Path(config.runs), identity)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "manifest.json").write_text(json.dumps({"files": {}}))
        return identity

    monkeypatch.setattr(trial_dataset, "prepare", prepare)
    # There are no examples to make tokens of.
    monkeypatch.setattr(max_length_check, "check", lambda *_: None)
    return asked


def test_the_same_config_gives_the_same_seal_whatever_the_name_of_its_runs_folder(config, tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "runs")
    one, other = (seal(replace(config("engine=noop"), runs=str(tmp_path / name)), command=name) for name in ("runs", "link"))
    assert other.path.samefile(one.path)
    assert len(list(one.directory.seals.iterdir())) == 1
    flush_to_disk(tmp_path / "runs")


def test_whether_all_of_a_trial_is_published_is_known_without_sealing(config, tmp_path, builds, monkeypatch):
    asked = replace(config("model=tiny"), runs=str(tmp_path / "runs"))
    assert not is_published(asked)
    sealed = seal(asked, command="test")
    facts = read_seal_facts(sealed.path)
    monkeypatch.setattr(trial_dataset, "dataset_id", lambda _: facts["data_id"])
    for folder in (sealed.directory.adapter, *(sealed.directory.evaluations / eval_id for eval_id in facts["evaluations"].values())):
        assert not is_published(asked)
        folder.mkdir(parents=True)
    assert is_published(asked)
    assert not is_published(replace(asked, seed=7))


def test_a_seal_says_what_a_job_must_verify(sealed_noop, runs):
    sealed = sealed_noop()
    facts = read_seal_facts(sealed.path)
    assert sealed.path.stem == digest(facts)[:8]
    assert (facts["trial_id"], facts["config"], facts["engine"]) == (sealed.trial_id, "config.yaml", "noop")
    assert facts["may"] == {"halve_micro_batch": True}
    assert (runs / "code" / facts["code_folder"] / "persona_exp" / "trial" / "seal.py").is_file()
    assert facts["code"].startswith(facts["code_folder"])
    assert facts["environment"]["python"]
    assert not any(word in sealed.path.read_text() for word in ("command", "sealed", str(runs)))


def test_a_sealed_config_reads_back_with_the_runs_folder_that_it_lies_in(config, runs):
    given = replace(config("engine=noop", "lora.r=5", "optim.lr=1e-5"), runs=str(runs))
    sealed, found = read_seal(seal(given, command="").path)
    assert found == replace(given, runs=str(runs.absolute()))
    assert yaml.safe_load(sealed.config.read_text())["optim"]["lr"] == 1e-5


def test_another_way_of_asking_is_sealed_beside_the_first(sealed_noop):
    one, other = sealed_noop(), sealed_noop(0, "train.micro_batch_size=2")
    assert one.directory == other.directory
    assert one.path != other.path
    assert (one.config.name, read_seal_facts(other.path)["config"]) == ("config.yaml", other.config.name)
    assert yaml.safe_load(other.config.read_text())["train"]["micro_batch_size"] == 2
    assert sealed_noop() == one


def test_another_command_for_the_same_trial_changes_nothing(config, runs):
    asked = replace(config("engine=noop"), runs=str(runs))
    one = seal(asked, command="first")
    assert seal(asked, command="second") == one
    assert json.loads(one.directory.provenance.read_text())["command"] == "first"


def test_a_trial_asked_for_again_is_no_old_one(sealed_noop):
    folder = sealed_noop().directory.path
    os.utime(folder, (0, 0))
    sealed_noop()
    assert time.time() - folder.stat().st_mtime < 3600


def test_a_trial_sealed_by_other_code_is_announced(sealed_noop, caplog):
    sealed = sealed_noop()
    sealed_noop()
    assert not caplog.records
    facts = json.loads(sealed.directory.provenance.read_text())
    facts["code"]["digest"] = "0" * 64
    sealed.directory.provenance.write_text(json.dumps(facts))
    sealed_noop()
    assert f"Trial {sealed.trial_id} was sealed by other code; its results are reused." in caplog.text


def test_files_that_a_crash_cut_short_are_sealed_again(sealed_noop):
    sealed = sealed_noop(0, "train.micro_batch_size=2")
    other = sealed_noop(0, "train.micro_batch_size=3")
    whole = {path: path.read_text() for path in (sealed.path, other.config, other.path)}
    for path in (*whole, sealed.directory.provenance):
        path.write_text("")
    sealed_noop(0, "train.micro_batch_size=2")
    sealed_noop(0, "train.micro_batch_size=3")
    assert {path: path.read_text() for path in whole} == whole
    assert json.loads(sealed.directory.provenance.read_text())["command"]


def test_a_noop_trial_asks_for_no_model_and_no_data(config, runs, builds, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    asked = config("engine=noop", "model=qwen3-32b", "corpus=holmes")
    sealed = seal(replace(asked, runs=str(runs)), command="")
    assert not builds
    assert read_seal_facts(sealed.path)["data_id"].startswith("noop-")
    assert not (runs / "data").exists()


def test_trials_differ_by_what_they_are_also_where_data_are_shared(config, runs, builds):
    base = replace(config("model=tiny"), runs=str(runs))
    ids = {seal(replace(base, seed=seed), command="").trial_id for seed in range(3)}
    ids |= {seal(replace(base, data=replace(base.data, seed=seed)), command="").trial_id for seed in (1, 2)}
    assert len(ids) == 5
    assert len(builds) == 1


@pytest.mark.parametrize(
    "override",
    ["data.min_reply_words=6", "persona.name=Pell", "data.size=50", "data.mix.narrative=1", "evaluation.split=validation", "method=none"],
)
def test_data_are_prepared_anew_for_whatever_preparing_reads(config, runs, builds, override):
    seal(replace(config("model=tiny"), runs=str(runs)), command="")
    seal(replace(config("model=tiny", override), runs=str(runs)), command="")
    assert len(builds) == 2


def test_data_that_are_gone_are_prepared_anew(config, runs, builds):
    asked = replace(config("model=tiny"), runs=str(runs))
    facts = read_seal_facts(seal(asked, command="").path)
    folder = trial_dataset.dataset_folder(runs, facts["data_id"])
    (folder / "manifest.json").unlink()
    folder.rmdir()
    seal(asked, command="")
    assert len(builds) == 2


def test_a_model_of_this_machine_is_sealed_by_its_full_path(config, runs, builds, tmp_path, monkeypatch):
    (tmp_path / "model").mkdir()
    shutil.copy(fetch_tiny(cache_folder()) / "config.json", tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    asked = config("model=tiny", "model.source=path", "model.location=model")
    sealed = seal(replace(asked, runs=str(runs)), command="")
    assert read_seal(sealed.path)[1].model.location == str(tmp_path / "model")


def test_finished_is_read_off_the_folders(tiny):
    sealed = seal(tiny(), command="")
    (evaluation,) = read_seal_facts(sealed.path)["evaluations"].values()
    assert not all_published(sealed.path)
    sealed.directory.adapter.mkdir()
    assert not all_published(sealed.path)
    (sealed.directory.evaluations / evaluation).mkdir(parents=True)
    assert all_published(sealed.path)


def test_a_damaged_seal_is_one_sentence(tmp_path):
    path = tmp_path / "trials" / "0123456789ab" / "seals" / "01234567.json"
    with pytest.raises(UserError, match="cannot be read"):
        read_seal_facts(path)


def test_a_large_sweep_is_sealed_in_seconds(config, runs, builds):
    base = replace(config("model=tiny"), runs=str(runs))
    seal(base, command="")
    started = time.process_time()
    ids = {seal(replace(base, seed=seed, lora=replace(base.lora, r=1 + seed % 7)), command="").trial_id for seed in range(200)}
    assert len(ids) == 200
    # A fifth of the thousand that are to take five seconds, with room for a slow processor; what else the machine does is not counted.
    assert time.process_time() - started < 20
