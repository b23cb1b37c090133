"""A seal's folder appears whole, the first of several makes it, and what older versions wrote stays as it is."""

import json
import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from persona_exp import atomic_files
from persona_exp.trial.seal import Sealing, read_seal, seal
from persona_exp.trial.seal_facts import read_seal_facts
from persona_exp.trial.seal_verification import verify

pytestmark = pytest.mark.usefixtures("one_copy_of_the_code")


def test_a_trial_has_three_files_and_nothing_beside_it(sealed_noop, runs):
    sealed = sealed_noop()
    files = [path.relative_to(sealed.directory.path).as_posix() for path in sealed.directory.path.rglob("*") if path.is_file()]
    assert sorted(files) == ["config.yaml", "provenance.json", f"seals/{sealed.path.name}"]
    assert [path.name for path in (runs / "trials").iterdir()] == [sealed.trial_id]


def test_trials_sealed_in_one_go_are_those_sealed_alone(config, runs, tmp_path):
    base = replace(config("engine=noop"), runs=str(runs))
    asked = [replace(base, seed=seed, lora=replace(base.lora, r=rank)) for rank in (4, 8) for seed in (1, 2000)]
    asked += [replace(one, train=replace(one.train, micro_batch_size=2)) for one in asked]
    sealing = Sealing("together")
    together = [sealing.seal(one) for one in asked]
    alone = [seal(replace(one, runs=str(tmp_path / "alone")), command="alone") for one in asked]
    for (one, facts), other, config_asked in zip(together, alone, asked, strict=True):
        assert (one.trial_id, one.path.name, one.config.name) == (other.trial_id, other.path.name, other.config.name)
        assert read_seal_facts(one.path) == facts == read_seal_facts(other.path)
        assert one.config.read_bytes() == other.config.read_bytes()
        assert read_seal(one.path)[1] == replace(config_asked, runs=str(runs.absolute()))
        verify(one.path)


def test_a_seal_in_the_lines_of_an_older_version_stays(sealed_noop):
    sealed = sealed_noop()
    older = json.dumps(read_seal_facts(sealed.path), indent=2) + "\n"
    provenance = json.dumps(json.loads(sealed.directory.provenance.read_text()), indent=2) + "\n"
    sealed.path.write_text(older)
    sealed.directory.provenance.write_text(provenance)
    assert sealed_noop() == sealed
    assert (sealed.path.read_text(), sealed.directory.provenance.read_text()) == (older, provenance)


def test_of_many_writers_at_once_one_makes_the_folder_and_all_have_their_seal(config, runs):
    """Half of them ask for the trial in another way."""
    base = replace(config("engine=noop"), runs=str(runs))
    ways = [base, replace(base, train=replace(base.train, micro_batch_size=2))]
    seal(replace(base, seed=99), command="")
    for seed in range(10):
        found, gate = [], threading.Barrier(8)

        def write(number, seed=seed, found=found, gate=gate):
            gate.wait()
            found.append((number % 2, seal(replace(ways[number % 2], seed=seed), command=str(number))))

        threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        assert len(found) == 8
        assert len({one.trial_id for _, one in found}) == 1
        assert [len({one.path for way, one in found if way == asked}) for asked in (0, 1)] == [1, 1]
        for _, one in found:
            verify(one.path)
        assert json.loads(found[0][1].directory.provenance.read_text())["command"] in "01234567"
    assert not [path for path in (runs / "trials").iterdir() if path.name.startswith(".")]


def test_a_folder_that_is_there_empty_or_half_is_filled(sealed_noop, runs):
    sealed = sealed_noop()
    whole = {path: path.read_bytes() for path in (sealed.config, sealed.path)}
    for gone in (sealed.config, sealed.path, sealed.directory.provenance):
        gone.unlink()
        assert sealed_noop() == sealed
        assert {path: path.read_bytes() for path in whole} == whole
    for path in (sealed.config, sealed.path, sealed.directory.provenance):
        path.unlink()
    sealed.directory.seals.rmdir()
    assert sealed_noop() == sealed
    verify(sealed.path)


def test_a_write_that_fails_leaves_nothing(tmp_path, monkeypatch):
    real = os.write

    def full(descriptor, content):
        if content.startswith(b"second"):
            raise OSError(28, "No space left on device")
        return real(descriptor, content[:3])

    monkeypatch.setattr(os, "write", full)
    path = f"{tmp_path}/trials/one"
    with pytest.raises(OSError, match="No space left"):
        atomic_files.create_folder(path, {"a": "first", "in/b": "second"})
    assert not list((tmp_path / "trials").iterdir())
    # A short write is gone on with.
    assert atomic_files.create_folder(path, {"a": "first", "in/b": "third"})
    assert (Path(path) / "in" / "b").read_text() == "third"
    assert not atomic_files.create_folder(path, {"a": "other"})
    assert (Path(path) / "a").read_text() == "first"
