"""One damaged file blinds nothing: every reading command answers for all that is whole, and names the file."""

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import SWEEP, write
from tests.search.studies import a_search, ask_once

WHOLE, HURT, OTHER = "a" * 12, "b" * 12, "c" * 12
ELSEWHERE = "lora.r=4-99999999"
SEARCH = "search-77777777"

# What can be damaged, by its path below runs/.
FILES = {
    "attempt": f"trials/{HURT}/attempts/0001.json",
    "seal": f"trials/{HURT}/seals/5ea15ea1.json",
    "config": f"trials/{HURT}/config.yaml",
    "provenance": f"trials/{HURT}/provenance.json",
    "evaluation": f"trials/{HURT}/evaluations/e{'b' * 11}/metrics.json",
    "cancellation": f"trials/{HURT}/cancel.json",
    "sweep": f"sweeps/{SWEEP}/sweep.yaml",
    "trial set": f"sweeps/{SWEEP}/seals.json",
    "submission": f"sweeps/{SWEEP}/submissions/0001.json",
    "jobs": f"sweeps/{SWEEP}/submissions/0001/jobs.json",
    "hold": f"sweeps/{SWEEP}/hold.json",
    "added": f"sweeps/{SWEEP}/added/000001.json",
    "ask": f"sweeps/{SEARCH}/asks/000001.json",
    "search": f"sweeps/{SEARCH}/search.json",
}

DAMAGE = {
    "cut short": lambda content: content[: len(content) * 2 // 3],
    "empty": lambda content: b"",
    "binary": lambda content: bytes(range(256)) * 20,
    "deep": lambda content: b"[" * 200_000,
    "deep and closed": lambda content: b'{"a":' * 50_000 + b"1" + b"}" * 50_000 + b"\n",
    "a list": lambda content: b"[1, 2]\n",
    "a text": lambda content: b'"text"\n',
    "no fields": lambda content: b"{}\n",
    "wrong types": lambda content: json.dumps(dict.fromkeys(NAMES, 7)).encode() + b"\n",
    "nulls": lambda content: json.dumps(dict.fromkeys(NAMES)).encode() + b"\n",
}
# In place of the file: whoever opens it waits for somebody who writes.
PIPE = "a pipe"
# Of all the records.
NAMES = (
    *("status", "attempt", "host", "pid", "seal", "progress", "job", "config", "data_id", "code", "code_folder", "engine", "method"),
    *("evaluations", "identity", "model", "lora", "seed", "persona", "eval_id", "condition", "split", "metrics", "settings", "counts"),
    *("command", "swept", "trials", "created", "name", "arms", "tasks", "options", "by", "job_name", "number", "launcher", "canary"),
    *("arrays", "keeper", "complete", "cause", "message", "at", "trial_id", "origin", "overrides", "params", "space", "objectives"),
)

COMMANDS = (
    ("status",),
    ("status", "--json"),
    ("status", SWEEP),
    ("status", ELSEWHERE, "--json"),
    ("show", WHOLE),
    ("show", HURT),
    ("show", ELSEWHERE),
    ("show", SWEEP, "--json"),
    ("why", WHOLE),
    ("why", HURT),
    ("clean", "--younger", "--json"),
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A runs/ folder with a sweep of a finished and an interrupted trial, another sweep, and a search."""
    from tests.cli.conftest import Desk

    desk = Desk(tmp_path_factory.mktemp("damage") / "runs")
    for one, status in ((WHOLE, "finished"), (HURT, "interrupted"), (OTHER, "finished")):
        folder = desk.trial(one, [{"status": status}])
        write(folder / "adapter" / "adapter_config.json", "{}")
    for one in (WHOLE, OTHER):
        desk.evaluation(one, f"e{one}"[:12], 42.0)
    write(desk.path / "data" / ("dada" * 3) / "manifest.json", '{"files": {}}')
    write(desk.path / "code" / ("c" * 12) / "run.py", "pass\n")
    folder = desk.sweep({WHOLE: 8, HURT: 16})
    desk.sweep({OTHER: 4}, ELSEWHERE)
    desk.submission(folder, (WHOLE, HURT))
    write(
        folder / "seals.json", json.dumps([{"seal": f"{one}/seals/5ea15ea1.json", "title": one, "engine": "sft"} for one in (WHOLE, HURT)])
    )
    search = a_search(desk.path / "sweeps" / SEARCH, n_trials=3)
    write(search / "sweep.yaml", f"name: {SEARCH}\ncommand: python run.py\nswept: []\ncreated: '2026-03-01T18:00:00+00:00'\ntrials: []\n")
    from omegaconf import OmegaConf

    from persona_exp.search import composed_configs
    from persona_exp.search.rebuilt_study import RebuiltStudy

    composed = {"method": {"name": "lora"}, "lora": {"r": 16}, "optim": {"lr": 0.0002}}
    composed_configs.ComposedConfigs([composed_configs._Entry({}, OmegaConf.create(composed), {})]).write(search)

    study = RebuiltStudy(search)
    ask_once(study), ask_once(study)
    return desk.path


# Written only where one is damaged: a trial that is cancelled or held has less to say.
ABSENT = {
    "cancellation": {"by": "a person", "at": None},
    "hold": {"cause": "canary", "message": "m", "trials": [], "at": None},
    "jobs": {"canary": None, "arrays": [{"id": "1", "first": 0, "size": 2}], "keeper": None, "complete": True},
    "evaluation": {"condition": "adapter", "split": "test", "metrics": {}},
    "added": {"trial_id": OTHER, "seal": "5ea15ea1.json", "origin": WHOLE, "overrides": {}, "engine": "sft", "evaluations": {}, "by": {}},
}


@pytest.fixture
def damaged(made, tmp_path, monkeypatch):
    """`damaged("seal", "empty")`: the runs/ folder of the command, with that file damaged in that way."""
    runs = tmp_path / "runs"
    shutil.copytree(made, runs)
    monkeypatch.setenv("PERSONA_EXP_RUNS", str(runs))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "1000")

    def damage(kind: str, how: str) -> Path:
        path = runs / FILES[kind]
        if kind in ABSENT:
            write(path, json.dumps(ABSENT[kind], indent=1))
        if how == PIPE:
            path.unlink()
            os.mkfifo(path)
        else:
            path.write_bytes(DAMAGE[how](path.read_bytes()))
        return runs

    return damage


@pytest.mark.timeout(60)
@pytest.mark.parametrize("how", [*DAMAGE, PIPE])
@pytest.mark.parametrize("kind", FILES)
def test_every_command_answers(damaged, persona_exp, kind, how):
    runs = damaged(kind, how)
    for command in (*COMMANDS, *([("search", SEARCH)] if kind in ("ask", "search", "attempt") else [])):
        # Of what is damaged itself one sentence is an answer.
        own = kind == "search" and command[0] == "search"
        code, out, error = persona_exp(*command)
        assert (code, bool(out)) == ((2, False) if own else (0, True)), (command, error)
        assert error.count("\n") <= 1
        if "--json" in command:
            json.loads(out)
    for sweep, trial in ((ELSEWHERE, OTHER), (SWEEP, WHOLE)):
        if kind != "sweep" or sweep != SWEEP:
            rows = {row["trial_id"]: row["status"] for row in json.loads(persona_exp("status", sweep, "--json")[1])["trials"]}
            assert rows[trial] == "finished"
    assert persona_exp("export", ELSEWHERE, str(runs.parent / "out"))[0] == 0
    assert (runs / "data" / ("dada" * 3)).is_dir()


@pytest.mark.parametrize("how", DAMAGE)
@pytest.mark.parametrize("kind", ["attempt", "seal", "config", "provenance"])
def test_that_trial_alone_is_damaged_and_the_way_out_is_said(damaged, persona_exp, kind, how):
    damaged(kind, how)
    answer = json.loads(persona_exp("status", SWEEP, "--json")[1])
    assert answer["counts"] == {"finished": 1, "damaged": 1}
    why = persona_exp("why", HURT)[1]
    assert "is damaged" in why.partition("\n")[0]
    assert Path(FILES[kind]).name in why
    assert "again" in why
    assert Path(FILES[kind]).name in persona_exp("status", SWEEP)[1]


@pytest.mark.parametrize("kind", ["sweep", "trial set", "submission", "jobs", "hold", "added"])
def test_a_damaged_file_of_the_sweep_is_named(damaged, persona_exp, kind):
    damaged(kind, "cut short")
    assert Path(FILES[kind]).name in persona_exp("status", SWEEP)[1]
    assert kind in ("jobs", "hold") or "damage" in json.loads(persona_exp("status", SWEEP, "--json")[1])


def test_a_published_trial_is_finished_without_its_record(damaged, persona_exp, made):
    runs = damaged("hold", "empty")
    (runs / "trials" / WHOLE / "attempts" / "0001.json").write_text("{")
    rows = {row["trial_id"]: row["status"] for row in json.loads(persona_exp("status", SWEEP, "--json")[1])["trials"]}
    assert rows[WHOLE] == "finished"
    assert "All that is asked of it is published." in persona_exp("why", WHOLE)[1]
    assert "0001.json" in persona_exp("why", WHOLE)[1]


@pytest.mark.parametrize("trial", [HURT, WHOLE])
def test_attempts_that_somebody_deleted_are_named(damaged, persona_exp, trial):
    runs = damaged("hold", "empty")
    folder = runs / "trials" / trial
    shutil.rmtree(folder / "attempts")
    (folder / "began").touch()
    rows = {row["trial_id"]: row["status"] for row in json.loads(persona_exp("status", SWEEP, "--json")[1])["trials"]}
    assert rows[trial] == ("finished" if trial == WHOLE else "damaged")
    assert f"Attempts/ of trial {trial} is gone, though it began" in persona_exp("why", trial)[1] + persona_exp("show", trial)[1]
    assert trial == WHOLE or f"ttempts/ of trial {trial} is gone" in persona_exp("status", SWEEP)[1]


@pytest.mark.parametrize("how", DAMAGE)
@pytest.mark.parametrize("kind", ["seal", "provenance"])
def test_clean_deletes_nothing_that_a_damaged_seal_may_refer_to(damaged, persona_exp, kind, how):
    runs = damaged(kind, how)
    write(runs / "data" / ("0" * 12) / "manifest.json", "{}")
    code, out, _ = persona_exp("clean", "--younger", "--yes", "--json")
    assert code == 0
    assert (runs / "data" / ("0" * 12)).is_dir()
    assert Path(FILES[kind]).name in json.loads(out)["spared"][0]
