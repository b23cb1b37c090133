"""What `pip install` puts into site-packages is all that a run needs, from whichever folder it is begun."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from persona_exp.trial.code_provenance import code_digest
from tests.conftest import ROOT, environment

INSIDE = ("conf", "sweeps", "slurm")


def sources(*folders):
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *folders]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [name for name in listed.split("\0") if name and (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with what the wheel holds, as pip lays it out. It is built from a copy, for setuptools writes beside the sources."""
    source, wheels, packages = (tmp_path_factory.mktemp(name) for name in ("source", "wheels", "site-packages"))
    for name in sources():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, source / name)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(wheels), str(source)]
    subprocess.run(command, check=True)
    (wheel,) = wheels.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(packages)
    return packages


@pytest.fixture
def persona_exp(installed, tmp_path):
    """`persona_exp("run", …)`: the installed program, in a folder that has nothing to do with the repository."""
    variables = {**environment(tmp_path), "PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1"}

    def run(*arguments):
        command = [sys.executable, "-P", "-m", "persona_exp.cli.main", *arguments]
        return subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False)

    return run


@pytest.mark.long
def test_the_wheel_holds_the_packages_and_the_three_folders(installed):
    expected = {*sources("persona_exp", "analysis", "hydra_plugins"), *(f"persona_exp/{name}" for name in sources(*INSIDE))}
    found = {path.relative_to(installed).as_posix() for path in installed.rglob("*") if path.is_file()}
    assert {name for name in found if ".dist-info/" not in name} == expected


@pytest.mark.long
def test_it_composes_what_run_py_composes(persona_exp):
    done = persona_exp("run", "--cfg", "job", "runs=runs")
    assert done.returncode == 0, done.stderr
    assert done.stdout == (ROOT / "tests" / "golden" / "cfg_job.yaml").read_text()


@pytest.mark.long
def test_it_seals_itself_and_runs_what_it_sealed(persona_exp, installed, tmp_path):
    done = persona_exp("run", "-m", "seed=1,2", "engine=noop", "model=tiny")
    assert done.returncode == 0, done.stdout + done.stderr
    (code,) = (tmp_path / "runs" / "code").iterdir()
    assert code_digest(code).startswith(code.name)
    assert code_digest(code) == code_digest(Path(installed))
    assert not (code / "requirements.lock").exists()
    assert {path.name for path in (code / "hydra_plugins").iterdir()} == {"persona_exp_plugins.py", "persona_exp_sweeps.py"}
    assert len(list((tmp_path / "runs" / "trials").glob("*/adapter/noop.json"))) == 2
    (sweep,) = (tmp_path / "runs" / "sweeps").glob("*/sweep.yaml")
    assert "command: persona-exp run -m seed=1,2 engine=noop model=tiny" in sweep.read_text()
    again = persona_exp("run", "-m", "seed=1,2", "engine=noop", "model=tiny")
    assert again.returncode == 0, again.stderr
    assert list((tmp_path / "runs" / "code").iterdir()) == [code]


@pytest.mark.long
def test_a_wrong_setting_is_the_sentence_that_run_py_says(persona_exp, run_py):
    arguments = ("lora.rr=3",)
    from_wheel, from_tree = persona_exp("run", *arguments), run_py(*arguments)
    assert (from_wheel.returncode, from_wheel.stderr) == (from_tree.returncode, from_tree.stderr)
    assert from_wheel.returncode == 2
