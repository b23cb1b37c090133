"""What is there must be what was sealed: each kind of tampering is one sentence, and the trial fails with the cause `seal`."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest

from persona_exp.launch.slurm.verified_start import CODE_CHANGED, verified_start
from persona_exp.modeling.model_cache import cache_folder
from persona_exp.modeling.tiny_test_model import fetch_tiny
from persona_exp.training.stop_signals import Interruption
from persona_exp.trial import seal_verification
from persona_exp.trial.run_sealed_trials import run
from persona_exp.trial.seal import seal
from persona_exp.trial.seal_facts import read_seal_facts
from persona_exp.trial.seal_verification import Broken, verify


def refusal(path):
    with pytest.raises(Broken) as caught:
        verify(path)
    said = str(caught.value)
    assert said.startswith(f"Trial {path.parents[1].name} refuses to run: ")
    assert said.endswith("; run its command again to seal what is there now.")
    assert "\n" not in said
    return said


def edit(path):
    path.chmod(0o644)
    path.write_bytes(path.read_bytes() + b"\n")


def test_what_was_sealed_may_run(sealed_noop, capsys):
    sealed = sealed_noop()
    verify(sealed.path)
    assert run([sealed.path], Interruption()) == 0
    assert sealed.directory.noop.is_file()


def test_an_edited_config(sealed_noop):
    sealed = sealed_noop()
    edit(sealed.config)
    assert "its config.yaml is not what was sealed" in refusal(sealed.path)


def test_an_edited_seal(sealed_noop):
    sealed = sealed_noop()
    facts = json.loads(sealed.path.read_text())
    sealed.path.write_text(json.dumps({**facts, "data_id": "0" * 12}))
    assert f"its seal {sealed.path.name} was edited" in refusal(sealed.path)


def test_a_seal_of_another_trial(sealed_noop):
    one, other = sealed_noop(1), sealed_noop(2)
    copied = other.directory.seals / one.path.name
    shutil.copy(one.path, copied)
    assert "was edited" in refusal(copied)


@pytest.mark.parametrize("name", ["persona_exp/trial/run_sealed_trials.py", "conf/config.yaml", "persona_exp/added.py", "."])
def test_an_edited_copy_of_the_code(sealed_noop, runs, name):
    sealed = sealed_noop()
    folder = runs / "code" / read_seal_facts(sealed.path)["code_folder"]
    shared = folder.readlink()
    folder.unlink()
    shutil.copytree(shared, folder)
    verify(sealed.path)
    seal_verification._digest_of_code.cache_clear()
    path = folder / name
    if path == folder:
        shutil.rmtree(folder)
    elif path.exists():
        edit(path)
    else:
        path.write_text("")
    assert f"the code in {folder} is not what was sealed" in refusal(sealed.path)


def test_other_code_than_the_sealed_copy(sealed_noop, monkeypatch):
    sealed = sealed_noop()
    monkeypatch.setattr(seal_verification, "code_provenance", lambda: {"digest": "0" * 64})
    assert "it is run by the code in" in refusal(sealed.path)


def test_another_version_of_a_library(sealed_noop, monkeypatch):
    sealed = sealed_noop()
    here = seal_verification.versions()
    monkeypatch.setattr(seal_verification, "versions", lambda: {**here, "torch": "9.9"})
    assert f"torch is 9.9 here, and {here['torch']} was sealed" in refusal(sealed.path)


@pytest.mark.parametrize("name", ["train.jsonl", "test.jsonl"])
def test_edited_data(tiny, runs, name):
    sealed = seal(tiny(), command="")
    verify(sealed.path)
    seal_verification._digest_of_data.cache_clear()
    path = runs / "data" / read_seal_facts(sealed.path)["data_id"] / name
    edit(path)
    assert f"the data in {path} are not what was sealed" in refusal(sealed.path)


def test_data_that_are_gone(tiny, runs):
    sealed = seal(tiny(), command="")
    folder = runs / "data" / read_seal_facts(sealed.path)["data_id"]
    shutil.rmtree(folder)
    assert f"the dataset {folder} is not there" in refusal(sealed.path)


def test_an_edited_model(tiny, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(fetch_tiny(cache_folder()), model)
    asked = tiny()
    asked = replace(asked, model=replace(asked.model, source="path", location=str(model)))
    sealed = seal(asked, command="")
    verify(sealed.path)
    seal_verification._digest_of_model.cache_clear()
    edit(model / "model.safetensors")
    assert f"the model in {model} is not what was sealed" in refusal(sealed.path)


def test_everything_is_read_once_a_process(tiny, monkeypatch):
    paths = [seal(tiny(f"seed={seed}"), command="").path for seed in range(3)]
    read = []

    def counted(name):
        digest = getattr(seal_verification, name)
        monkeypatch.setattr(seal_verification, name, lambda folder: read.append(name) or digest(folder))

    counted("code_digest")
    counted("data_digest")
    for path in paths:
        verify(path)
    assert sorted(read) == ["code_digest", "data_digest"]


@pytest.mark.parametrize("unreadable", [False, True])
def test_a_broken_seal_fails_its_trial(sealed_noop, capsys, unreadable):
    broken, whole = sealed_noop(1), sealed_noop(2)
    if unreadable:
        broken.path.write_text("{")
    else:
        edit(broken.config)
    assert run([broken.path, whole.path], Interruption()) == 1
    record = json.loads((broken.directory.attempts / "0001.json").read_text())
    assert (record["status"], record["cause"]) == ("failed", "seal")
    assert record["message"] in capsys.readouterr().err
    assert not broken.directory.adapter.exists()
    assert whole.directory.noop.is_file()


PLANTED = (
    "sitecustomize.py",
    "torch.py",
    "torch/__init__.py",
    "persona_exp/trial/__pycache__/seal.cpython-311.pyc",
    "persona_exp/a.pyc",
    ".x",
)


@pytest.fixture
def own_copy(sealed_noop, runs):
    """A sealed trial, and a copy of the code of its own."""
    sealed = sealed_noop()
    folder = runs / "code" / read_seal_facts(sealed.path)["code_folder"]
    shared = folder.readlink()
    folder.unlink()
    shutil.copytree(shared, folder)
    return sealed, folder


@pytest.mark.parametrize("name", PLANTED)
def test_whatever_was_added_to_a_copy_of_the_code_is_named(own_copy, name):
    sealed, folder = own_copy
    verify(sealed.path)
    seal_verification._digest_of_code.cache_clear()
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("pass\n")
    assert f"(it holds {name!r})" in refusal(sealed.path)


def test_a_link_in_a_copy_of_the_code_is_refused(own_copy, tmp_path):
    sealed, folder = own_copy
    shutil.move(folder / "run.py", tmp_path / "run.py")
    (folder / "run.py").symlink_to(tmp_path / "run.py")
    assert "(it holds 'run.py')" in refusal(sealed.path)


@pytest.mark.parametrize("name", ["sitecustomize.py", "json.py", "persona_exp/trial/__pycache__/x.pyc", None])
def test_nothing_of_a_copy_runs_before_it_is_verified(own_copy, tmp_path, name):
    """Python itself would import a sitecustomize.py, and a json.py where it starts in the folder."""
    _, folder = own_copy
    if name:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    command = verified_start(sys.executable, folder, "persona_exp.trial")
    done = subprocess.run(
        [*command, "--help"], cwd=folder, env={**os.environ, "PYTHONPATH": str(folder)}, capture_output=True, text=True, check=False
    )
    assert not (tmp_path / "ran").exists()
    assert (done.returncode, "usage: python -m persona_exp.trial" in done.stdout) == ((CODE_CHANGED, False) if name else (0, True)), (
        done.stderr
    )
    assert done.stderr.count("\n") == (1 if name else 0)
    assert not list(folder.rglob("*.pyc")) or name
