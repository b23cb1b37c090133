"""A study folder: `persona-exp init` makes it, every command takes it, and what is run from it needs nothing of it afterwards."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

from persona_exp.cli.commands.init import TEMPLATE, make_study
from persona_exp.cli.main import main
from persona_exp.errors import UserError
from persona_exp.project_folders import CONF
from persona_exp.study_folder import MARKER, RUNS, STUDY, asked_study, in_study, refuse_shadowing, split_config_dir, study_of
from tests.conftest import ROOT, environment

EXAMPLES = sorted(path.relative_to(TEMPLATE).as_posix() for path in TEMPLATE.rglob("*.yaml"))
# Nobody's machine need be asked for a book.
EMMA = "CHAPTER I\n\n" + "“It is a fine day,” said Emma. “I like it well.”\n\nMr. Woodhouse sat by the fire and said nothing.\n\n" * 40


@pytest.fixture
def study(tmp_path):
    folder = tmp_path / "my study, of Émile"
    make_study(folder)
    return folder


@pytest.fixture
def persona_exp(tmp_path):
    """`persona_exp(FOLDER, "run", …)`: the program, begun in FOLDER, where no variable says where results go."""
    variables = {name: value for name, value in environment(tmp_path).items() if name not in (RUNS, STUDY)}
    variables = {**variables, "PYTHONPATH": str(ROOT)}

    def run(folder, *arguments, **more):
        command = [sys.executable, "-m", "persona_exp.cli.main", *arguments]
        return subprocess.run(command, cwd=folder, env={**variables, **more}, capture_output=True, text=True, check=False)

    return run


def test_a_study_is_made_and_says_what_to_type_next(tmp_path, capsys):
    folder = tmp_path / "a b"
    assert main(["init", str(folder)]) == 0
    said = capsys.readouterr().out
    assert f"cd '{folder}'" in said
    assert "persona-exp run -m lora.r=4,8 model=tiny train.max_steps=4" in said
    assert {path.name for path in folder.iterdir()} == {MARKER, "README.md", ".gitignore", "conf", "books", "slurm"}
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.yaml")) == [*EXAMPLES, MARKER]
    assert main(["init", str(tmp_path / "other"), "--json"]) == 0
    assert MARKER in json.loads(capsys.readouterr().out)["files"]


@pytest.mark.parametrize("there", ["file", "full", "link"])
def test_a_folder_that_is_not_empty_is_left_alone(tmp_path, capsys, there):
    folder = tmp_path / "mine"
    if there == "file":
        folder.write_text("mine")
    elif there == "link":
        folder.symlink_to(tmp_path / "nowhere")
    else:
        folder.mkdir()
        (folder / "notes.txt").write_text("mine")
    assert main(["init", str(folder)]) == 2
    said = capsys.readouterr().err
    assert len(said.strip().splitlines()) == 1
    assert "name one that is not there yet" in said or "is not empty" in said
    assert not (folder / MARKER).exists()


@pytest.mark.parametrize("name", EXAMPLES)
def test_each_example_opens_with_a_command_that_names_it(name):
    lines = (TEMPLATE / name).read_text().splitlines()
    first = lines[1] if lines[0] == "# @package _global_" else lines[0]
    group, option = Path(name).parts[1], Path(name).stem
    assert first.startswith("# persona-exp run ")
    assert f"{group}={option}" in first
    assert sum(line.startswith("#") for line in lines) >= 2
    assert yaml.safe_load("\n".join(lines))


@pytest.mark.parametrize("name", EXAMPLES)
def test_each_example_composes_in_its_study(study, composed, name, monkeypatch):
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    from persona_exp.config.compose import compose_trial

    monkeypatch.delenv(RUNS, raising=False)
    group, option = Path(name).parts[1], Path(name).stem
    with in_study(study):
        GlobalHydra.instance().clear()
        with initialize_config_dir(str(CONF), version_base="1.3"):
            found = compose_trial(compose("config", [f"{'+' if group == 'sweeps' else ''}{group}={option}"]))
    assert found.runs == str(study / "runs")
    if group in ("corpus", "experiment"):
        assert (found.corpus.dir, found.persona.name) == (f"{study}/books", "Emma Woodhouse")
    if group == "cluster":
        assert found.cluster.name == option


def test_a_study_is_known_below_it_and_the_nearest_counts(study, tmp_path):
    inner = study / "books" / "inner"
    make_study(inner)
    assert study_of(study / "books") == study
    assert study_of(inner / "conf" / "persona") == inner
    assert study_of(tmp_path) is None


def test_the_flag_names_a_study_from_outside_and_wins(study, tmp_path, monkeypatch):
    other = tmp_path / "other"
    make_study(other)
    monkeypatch.chdir(study / "books")
    assert asked_study(None) == study
    assert asked_study(other / "conf") == other
    plain = tmp_path / "plain"
    plain.mkdir()
    assert asked_study(plain) == study
    with pytest.raises(UserError, match="is no folder"):
        asked_study(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"is the study itself: name its conf/"):
        asked_study(other)


def test_the_flag_is_found_wherever_it_stands():
    here = Path.cwd()
    assert split_config_dir(["status", "--config-dir", "a b", "x"]) == (here / "a b", ["status", "x"])
    assert split_config_dir(["--config-dir=a", "-m"]) == (here / "a", ["-m"])
    assert split_config_dir(["-cd", "~/a"]) == (Path.home() / "a", [])
    assert split_config_dir(["-m", "seed=1"]) == (None, ["-m", "seed=1"])
    for wrong in (["--config-dir"], ["--config-dir="], ["--config-dir=a", "-cd", "b"]):
        with pytest.raises(UserError, match="takes one folder"):
            split_config_dir(wrong)


def test_variables_are_set_for_the_command_alone(study, monkeypatch):
    monkeypatch.delenv(RUNS, raising=False)
    monkeypatch.setenv(STUDY, "/of/a/parent")
    with in_study(study):
        assert (os.environ[STUDY], os.environ[RUNS]) == (str(study), str(study / "runs"))
    assert (os.environ[STUDY], RUNS in os.environ) == ("/of/a/parent", False)
    with in_study(None):
        assert STUDY not in os.environ
    monkeypatch.setenv(RUNS, "/results")
    with in_study(study):
        assert os.environ[RUNS] == "/results"


@pytest.mark.parametrize("name", ["persona/holmes.yaml", "sweeps/lora_rank.yaml", "config.yaml", "hydra/launcher/slurm.yaml"])
def test_an_option_with_a_name_of_the_projects_is_refused(study, name):
    refuse_shadowing(study / "conf")
    path = study / "conf" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("name: mine\n")
    with pytest.raises(UserError, match=re.escape(f"{name} has the name of an option of the project's own: call it")):
        refuse_shadowing(study / "conf")


@pytest.mark.long
def test_commands_take_a_study_by_standing_in_it_and_by_the_flag(study, persona_exp, tmp_path):
    flag = f"--config-dir={study / 'conf'}"
    for folder, more in ((study / "books", []), (tmp_path, [flag])):
        composed = persona_exp(folder, "run", *more, "--cfg", "job", "persona=my_character", "--resolve")
        assert composed.returncode == 0, composed.stderr
        assert yaml.safe_load(composed.stdout)["runs"] == str(study / "runs")
        assert persona_exp(folder, "run", *more, "engine=noop", "model=tiny").returncode == 0
        assert json.loads(persona_exp(folder, *more, "status", "--json").stdout)
    assert not (tmp_path / "runs").exists()
    assert [path.name for path in (study / "runs" / "trials").iterdir()] != []
    wanted = persona_exp(tmp_path, "run", flag, "persona=my_charakter")
    assert (wanted.returncode, len(wanted.stderr.strip().splitlines())) == (2, 1)
    assert "my_character" in wanted.stderr
    other = persona_exp(tmp_path, "status", f"--config-dir={CONF}")
    assert (other.returncode, "is of no study" in other.stderr) == (2, True)
    elsewhere = persona_exp(study, "run", "--cfg", "job", "--resolve", **{RUNS: "/results"})
    assert yaml.safe_load(elsewhere.stdout)["runs"] == "/results"


@pytest.mark.long
def test_a_shadowing_option_stops_every_command_that_composes(study, persona_exp):
    (study / "conf" / "persona" / "holmes.yaml").write_text("name: mine\n")
    for arguments in (["run", "--cfg", "job"], ["run", "-m", "seed=1,2"], ["data", "build"], ["doctor"]):
        done = persona_exp(study, *arguments)
        assert (done.returncode, len(done.stderr.strip().splitlines())) == (2, 1)
        assert "has the name of an option of the project's own" in done.stderr


@pytest.mark.long
def test_what_is_sealed_needs_no_conf_any_more(study, persona_exp, tmp_path):
    (study / "books" / "emma.txt").write_text("\n".join(EMMA.replace("CHAPTER I\n", f"CHAPTER {n}\n") for n in ("I", "II", "III", "IV")))
    done = persona_exp(study, "run", "-m", "seed=1,2", "engine=noop", "model=tiny", "corpus=my_books", "data.split=chapter")
    assert done.returncode == 0, done.stdout + done.stderr
    (sweep,) = (study / "runs" / "sweeps").iterdir()
    seals = sorted((study / "runs" / "trials").glob("*/config.yaml"))
    assert all(STUDY not in path.read_text() for path in seals)
    assert {yaml.safe_load(path.read_text())["corpus"]["dir"] for path in seals} == {f"{study}/books"}
    shutil.rmtree(study / "conf")
    for path in (study / "runs" / "trials").glob("*"):
        shutil.rmtree(path / "adapter")
        (path / "attempts" / "0001.json").write_text((path / "attempts" / "0001.json").read_text().replace('"finished"', '"interrupted"'))
    (code,) = (study / "runs" / "code").iterdir()
    command = [sys.executable, "-P", "-m", "persona_exp.launch.workers.local_sweep", str(sweep), "1"]
    again = subprocess.run(
        command, cwd=tmp_path, env={**environment(tmp_path), "PYTHONPATH": str(code)}, capture_output=True, text=True, check=False
    )
    assert again.returncode == 0, again.stdout + again.stderr
    assert len(list((study / "runs" / "trials").glob("*/adapter/noop.json"))) == 2


def test_a_search_keeps_where_its_study_is(study, tmp_path):
    """Its workers, and a clone of one of its trials, may stand in no study, or in another."""
    from persona_exp.search.composed_configs import ComposedConfigs, _Entry, read_composed

    sweep = tmp_path / "runs" / "sweeps" / "search"
    sweep.mkdir(parents=True)
    with in_study(study):
        composed = OmegaConf.create({"corpus": {"dir": f"${{oc.env:{STUDY}}}/books"}, "lora": {"alpha": "${lora.r}", "r": 8}})
        ComposedConfigs([_Entry({}, composed, {})]).write(sweep)
    assert read_composed(sweep).composed({}).corpus.dir == f"{study}/books"
    assert read_composed(sweep).composed({}).lora.alpha == 8
