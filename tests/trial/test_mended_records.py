"""The same command given again writes anew what was damaged, and keeps beside it what was there."""

import errno
import json
import os

import pytest
import yaml

from persona_exp import atomic_files
from persona_exp.launch.launch_sweep import describe
from persona_exp.launch.recovery.retry_decision import decide
from persona_exp.launch.sweeps import submission_record, trial_set
from persona_exp.launch.sweeps.seal_sweep_rows import TrialRequest, seal_rows
from persona_exp.trial.attempt_claim_and_heartbeat import claim
from persona_exp.trial.attempt_records import read_record
from persona_exp.trial.mended_records import mend_attempts
from persona_exp.trial.recorded_provenance import read_provenance
from persona_exp.trial.recorded_sweep import read_sweep
from persona_exp.trial.seal_facts import read_seal_facts, sealed_config
from persona_exp.trial.seal_verification import verify
from persona_exp.trial.trial_status import read_status

BROKEN = {"cut short": lambda content: content[: len(content) // 2], "empty": lambda content: b"", "binary": lambda content: b"\0\x80" * 9}


def broken(path, how):
    content = BROKEN[how](path.read_bytes())
    path.write_bytes(content)
    return content


@pytest.mark.parametrize("how", BROKEN)
@pytest.mark.parametrize("name", ["seal", "config.yaml", "provenance.json"])
def test_sealing_again_mends_what_sealing_wrote(sealed_noop, name, how):
    sealed = sealed_noop()
    path = sealed.path if name == "seal" else sealed.directory.path / name
    whole = path.read_bytes()
    content = broken(path, how)
    again = sealed_noop()
    assert again.path == sealed.path
    assert path.with_name(f"{path.name}.damaged").read_bytes() == content
    assert path.read_bytes() == whole or name == "provenance.json"
    verify(again.path)
    assert sealed_config(sealed.directory.path)["seed"] == 0
    assert read_provenance(sealed.directory.runs, sealed.trial_id)["data_id"] == read_seal_facts(again.path)["data_id"]


def test_a_second_damaged_file_is_kept_too(sealed_noop):
    sealed = sealed_noop()
    for content in (b"one", b"two"):
        sealed.path.write_bytes(content)
        sealed_noop()
    assert [sealed.path.with_name(f"{sealed.path.name}.damaged{end}").read_bytes() for end in ("", "-2")] == [b"one", b"two"]


@pytest.mark.parametrize("published", [False, True])
def test_an_attempt_goes_on_or_is_finished(sealed_noop, published):
    directory = sealed_noop().directory
    path = directory.attempts / "0001.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text('{"attempt": 1, "sta')
    assert read_status(directory.path).status == "damaged"
    if published:
        directory.adapter.mkdir()
        directory.noop.write_text("{}")
        assert read_status(directory.path).status == "finished"
    (kept,) = mend_attempts([directory])
    assert kept.endswith("attempts/0001.json.damaged")
    record = read_record(path)
    assert (record["status"], record["cause"]) == (("finished", None) if published else ("interrupted", "damaged"))
    assert read_status(directory.path).status == record["status"]
    assert mend_attempts([directory]) == []


def test_another_seal_still_gets_the_evaluation_that_it_asks_for(sealed_noop):
    """What is published for one seal does not finish the trial for one that asks for more."""
    sealed = sealed_noop()
    directory, facts = sealed.directory, {**read_seal_facts(sealed.path), "engine": "sft", "method": "lora"}
    for name, eval_id in (("00000001.json", "e" * 12), ("00000002.json", "f" * 12)):
        (directory.seals / name).write_text(json.dumps({**facts, "evaluations": {"adapter": eval_id}}))
    directory.adapter.mkdir()
    (directory.evaluations / ("e" * 12)).mkdir(parents=True)
    directory.attempts.mkdir(exist_ok=True)
    (directory.attempts / "0001.json").write_text("{")
    mend_attempts([directory])
    assert {one: decide(directory, f"0000000{one}.json", lambda record: "dead").next for one in (1, 2)} == {1: "finished", 2: "run"}


def test_a_number_of_an_attempt_is_given_once_whenever_the_command_is_killed(sealed_noop, monkeypatch):
    directory = sealed_noop().directory
    path = directory.attempts / "0001.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text('{"attempt": 1, "sta')

    def killed(path, record):
        raise KeyboardInterrupt

    with monkeypatch.context() as at_this_moment:
        at_this_moment.setattr(atomic_files, "write_json", killed)
        with pytest.raises(KeyboardInterrupt):
            mend_attempts([directory])
    assert claim(directory.attempts) is None
    mend_attempts([directory])
    assert claim(directory.attempts).number == 2


@pytest.fixture
def rows(config, runs, one_copy_of_the_code):
    from dataclasses import replace

    made = [replace(config("engine=noop"), seed=seed, runs=str(runs)) for seed in (1, 2)]
    return seal_rows([TrialRequest(one, {"seed": one.seed}) for one in made], "python run.py -m seed=1,2")


@pytest.mark.parametrize("how", [*BROKEN, "without its last trial"])
def test_the_sweep_is_described_anew(rows, runs, how):
    folder = runs / "sweeps" / "s"
    describe(folder, "python run.py -m seed=1,2", ["seed"], rows)
    path = folder / "sweep.yaml"
    whole = yaml.safe_load(path.read_text())
    if how in BROKEN:
        broken(path, how)
    else:
        path.write_text(yaml.safe_dump({**whole, "trials": whole["trials"][:1]}))
    describe(folder, "python run.py -m seed=1,2", ["seed"], rows)
    assert (folder / "sweep.yaml.damaged").is_file()
    assert [one.trial_id for one in read_sweep(runs, "s").trials] == [one["trial_id"] for one in whole["trials"]]


@pytest.mark.parametrize("how", BROKEN)
def test_the_trial_set_is_written_anew_and_stands_in_the_submissions_until_then(rows, runs, how):
    folder = runs / "sweeps" / "s"
    listed = [row.sweep_trial for row in rows]
    assert trial_set.write(folder, listed) is None
    made = submission_record.draft(folder, launcher="local", tasks=[[one.seal for one in listed]], options={}, canary=False)
    assert submission_record.create(made)
    broken(folder / "seals.json", how)
    assert [one.seal for one in trial_set.read(folder)] == [one.seal for one in listed]
    assert trial_set.write(folder, listed) == folder / "seals.json.damaged"
    assert trial_set.read(folder) == listed
    assert (folder / "seals.json.damaged").is_file()


def test_a_damaged_submission_is_left_out_and_its_number_is_not_given_again(rows, runs):
    folder = runs / "sweeps" / "s"
    for number in (1, 2):
        made = submission_record.draft(folder, launcher="local", tasks=[[rows[0].sweep_trial.seal]], options={}, canary=False)
        assert (submission_record.create(made), made.number) == (True, number)
    made.logs.mkdir(parents=True)
    made.path.write_text(json.dumps({"sweep": "s"}))
    assert [one.number for one in submission_record.all_submissions(folder)] == [1]
    (sentence,) = submission_record.damaged_submissions(folder)
    assert "0002.json is damaged" in sentence
    submission_record.set_damaged_aside(folder)
    assert submission_record.damaged_submissions(folder) == []
    assert submission_record.draft(folder, launcher="local", tasks=[], options={}, canary=False).number == 3


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_who_may_only_read_reuses_what_is_finished(sealed_noop, monkeypatch, number):
    from persona_exp.trial import code_snapshot

    sealed = sealed_noop()

    def refuse(runs):
        raise OSError(number, os.strerror(number), str(runs / "code"))

    monkeypatch.setattr(code_snapshot, "snapshot", refuse)
    with pytest.raises(OSError, match=os.strerror(number)):
        sealed_noop()
    sealed.directory.adapter.mkdir()
    sealed.directory.noop.write_text("{}")
    assert sealed_noop().path == sealed.path


def test_the_keeper_goes_on_with_what_is_whole(rows, runs):
    """Of a damaged record a person's command is needed; the other trial is submitted all the same."""
    from persona_exp.launch.recovery.heartbeat_lease import Observer
    from persona_exp.launch.sweeps.reconcile import reconcile

    folder = runs / "sweeps" / "s"
    listed = [row.sweep_trial for row in rows]
    trial_set.write(folder, listed)
    made = submission_record.draft(folder, launcher="local", tasks=[[one.seal for one in listed]], options={}, canary=False)
    submission_record.create(made)
    attempts = listed[0].directory(folder).attempts
    attempts.mkdir(exist_ok=True)
    (attempts / "0001.json").write_text("{" * 100_000)
    for broken_too in (None, made.path, folder / "seals.json"):
        if broken_too == made.path:
            made.path.rename(made.path.with_name("0002.json"))
            made.path.with_name("0001.json").write_text("")
            made.path.with_name("0002.json").write_text(made.path.with_name("0002.json").read_text().replace('"number": 1', '"number": 2'))
        elif broken_too:
            broken_too.write_text("[")
        seen = reconcile(folder, Observer())
        assert [one.seal for one in seen.unserved] == [listed[1].seal]
        assert "is damaged" in seen.decisions[listed[0].seal].why
