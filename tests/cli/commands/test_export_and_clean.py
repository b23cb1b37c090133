"""`export` and `clean`."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from persona_exp import atomic_files
from persona_exp.process_identity import node_name
from tests.cli.conftest import SWEEP, TRACEBACK, mine, write
from tests.conftest import ROOT

ONE, TWO, OTHER = "aaaaaaaaaaaa", "bbbbbbbbbbbb", "cccccccccccc"
# The digest of the code that the sweep's trials ran.
CODE = atomic_files.digest({"run.py": hashlib.sha256(b"pass\n").hexdigest()})


@pytest.fixture
def sweep(desk):
    """A sweep of a trial that is finished and one that failed, and a trial of another."""
    folder = desk.trial(ONE, [{"status": "finished", "log": "done\n"}], code=CODE)
    write(folder / "adapter" / "adapter_config.json", "{}")
    write(folder / "attempts" / "0001" / "checkpoints" / "step-00000008" / "model.bin", "x" * 1000)
    desk.evaluation(ONE, f"e{ONE}"[:12], 42.0)
    desk.trial(TWO, [{"status": "failed", "cause": "ValueError", "message": "not finite", "traceback": TRACEBACK}], code=CODE)
    desk.trial(OTHER, [{"status": "interrupted"}])
    write(desk.path / "data" / ("dada" * 3) / "train.jsonl", "{}\n")
    write(desk.path / "data" / ("dada" * 3) / "tokens" / "0123456789ab" / "ids.npy", "x")
    write(desk.path / "data" / "unrelated123" / "train.jsonl", "{}\n")
    write(desk.path / "code" / CODE[:12] / "run.py", "pass\n")
    folder = desk.sweep({ONE: 8, TWO: 16})
    write(folder / "report" / "table.md", "# table\n")
    desk.submission(folder, (ONE, TWO))
    return folder


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_export_holds_the_sweep_and_nothing_else(sweep, persona_exp, tmp_path):
    code, out, _ = persona_exp("export", SWEEP, str(tmp_path / "out"))
    assert code == 0
    assert "1 trial of it had not finished" in out
    found = files(tmp_path / "out")
    assert {
        "README.md",
        "SHA256SUMS",
        f"sweeps/{SWEEP}/sweep.yaml",
        f"sweeps/{SWEEP}/report/table.md",
        f"trials/{ONE}/adapter/adapter_config.json",
        f"trials/{ONE}/attempts/0001/output.log",
        f"trials/{TWO}/attempts/0001/traceback.txt",
        f"data/{'dada' * 3}/train.jsonl",
        f"code/{CODE[:12]}/run.py",
    } <= found
    assert not [
        name
        for name in found
        if "checkpoints" in name or f"trials/{OTHER}" in name or "unrelated" in name or "submissions" in name or "tokens" in name
    ]
    done = subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=tmp_path / "out", check=False)
    assert done.returncode == 0
    assert len((tmp_path / "out" / "SHA256SUMS").read_text().splitlines()) == len(found) - 1


def test_an_export_is_read_elsewhere(sweep, persona_exp, tmp_path, monkeypatch):
    assert persona_exp("export", SWEEP, str(tmp_path / "out"))[0] == 0
    monkeypatch.setenv("PERSONA_EXP_RUNS", str(tmp_path / "out"))
    answer = json.loads(persona_exp("status", SWEEP, "--json")[1])
    assert answer["counts"] == {"finished": 1, "failed": 1}
    assert "loss is not finite" in persona_exp("status", SWEEP)[1]
    assert "42.000" in persona_exp("show", ONE)[1]
    assert persona_exp("why", TWO)[0] == 0


def test_an_archive_holds_the_same(sweep, persona_exp, tmp_path):
    assert persona_exp("export", SWEEP, str(tmp_path / "out"))[0] == 0
    assert persona_exp("export", SWEEP, str(tmp_path / "sweep.tar.gz"))[0] == 0
    with tarfile.open(tmp_path / "sweep.tar.gz") as tar:
        tar.extractall(tmp_path / "unpacked", filter="data")
    assert files(tmp_path / "unpacked" / "sweep") == files(tmp_path / "out")
    done = subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=tmp_path / "unpacked" / "sweep", check=False)
    assert done.returncode == 0


def test_export_writes_over_nothing(sweep, persona_exp, tmp_path):
    (tmp_path / "out").mkdir()
    code, _, error = persona_exp("export", SWEEP, str(tmp_path / "out"))
    assert (code, error.count("\n")) == (2, 1)
    assert not files(tmp_path / "out")


def test_an_exported_report_is_made_anew(sweep, persona_exp, tmp_path):
    """The metrics of this test's trials have no items, which the report says in one sentence; it finds the sweep all the same."""
    assert persona_exp("export", SWEEP, str(tmp_path / "out"))[0] == 0
    command = [sys.executable, "-m", "analysis.report", str(tmp_path / "out" / "sweeps" / SWEEP)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "has no scored items" in done.stderr


def aged(path: Path, days: float = 2) -> None:
    for one in [path, *path.rglob("*")]:
        os.utime(one, (time.time() - days * 86400,) * 2)


def kinds(persona_exp, *arguments):
    answer = json.loads(persona_exp("clean", "--json", *arguments)[1])
    return {one["path"].rpartition("runs/")[2]: one["kind"] for one in answer["found"]}


def test_clean_lists_what_is_of_no_use(desk, sweep, persona_exp):
    folder = desk.path / "trials" / ONE
    write(folder / "attempts" / "0001" / "fenced" / "adapter" / "x", "x")
    write(folder / f".provenance.json.{node_name()}.4194304.tmp", "x")
    staged = f"data/{'dada' * 3}/tokens/.ab.{node_name()}.4194304.staged"
    write(desk.path / staged / "ids.npy", "x")
    write(desk.path / "data" / "unrelated123" / "manifest.json", "{}")
    write(desk.path / "data" / "parts" / "p.json", "{}")
    write(desk.path / "code" / "feedfeedfeed" / "run.py", "pass\n")
    write(desk.path / "teacher" / "spent-1.json", "{}")
    aged(desk.path)
    assert kinds(persona_exp) == {
        f"trials/{ONE}/attempts/0001/checkpoints": "checkpoints of finished trials",
        f"trials/{ONE}/attempts/0001/fenced": "results of attempts that were overtaken",
        f"trials/{ONE}/.provenance.json.{node_name()}.4194304.tmp": "left by a writer that died",
        staged: "left by a writer that died",
        "data/unrelated123": "data that no trial refers to",
        "code/feedfeedfeed": "code that no trial refers to",
    }
    before = files(desk.path)
    assert persona_exp("clean", "--json", "--yes")[0] == 0
    gone = before - files(desk.path)
    assert {name.split("/")[0] for name in gone} == {"trials", "data", "code"}
    assert len(gone) == 7
    assert (desk.path / "data" / ("dada" * 3) / "tokens" / "0123456789ab" / "ids.npy").is_file()
    assert kinds(persona_exp) == {}


def test_clean_spares_what_is_young_or_at_work(desk, persona_exp):
    folder = desk.trial(ONE, [{"status": "finished"}])
    write(folder / "attempts" / "0001" / "checkpoints" / "step-00000008" / "model.bin", "x")
    running = desk.trial(TWO, [{"status": "interrupted"}, {"host": "elsewhere"}])
    write(running / "attempts" / "0001" / "fenced" / "x", "x")
    write(running / "attempts" / "0001" / "checkpoints" / "step-00000008" / "model.bin", "x")
    write(desk.path / "sweeps" / f".a.{node_name()}.{os.getpid()}.tmp", "x")
    write(desk.path / "sweeps" / ".a.elsewhere.1.tmp", "x")
    assert kinds(persona_exp) == {}
    assert kinds(persona_exp, "--younger") == {f"trials/{ONE}/attempts/0001/checkpoints": "checkpoints of finished trials"}
    aged(desk.path)
    # Interrupted trials need their checkpoints, and a process at work its file.
    assert set(kinds(persona_exp)) == {f"trials/{ONE}/attempts/0001/checkpoints", "sweeps/.a.elsewhere.1.tmp"}


def test_clean_takes_what_a_killed_command_was_making_of_latest(desk, persona_exp):
    desk.sweep({}, "ranks")
    dead, alive = (f".latest.{node_name()}.{pid}.{pid}.tmp" for pid in (4194304, os.getpid()))
    for name in (dead, alive, f".latest.else{node_name()}.4194304.4194304.tmp"):
        (desk.path / name).symlink_to("sweeps/ranks")
    assert kinds(persona_exp, "--younger") == {dead: "left by a writer that died"}
    assert persona_exp("clean", "--younger", "--yes", "--json")[0] == 0
    assert not os.path.lexists(desk.path / dead)
    assert os.path.lexists(desk.path / alive)
    assert (desk.path / "sweeps" / "ranks" / "sweep.yaml").is_file()


def test_clean_asks(desk, sweep, persona_exp, monkeypatch):
    aged(desk.path)
    code, out, error = persona_exp("clean")
    assert (code, error.count("\n")) == (2, 1)
    assert "checkpoints of finished trials: 1, 1 kB" in out
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda question: "n")
    assert "Deleted" not in persona_exp("clean")[1]
    monkeypatch.setattr("builtins.input", lambda question: "y")
    assert "Deleted 1 item, 1 kB." in persona_exp("clean")[1]
    assert "can be deleted" in persona_exp("clean")[1]


def test_clean_of_a_trial_that_came_back_to_life(desk, sweep):
    from persona_exp.cli.commands.clean import delete
    from persona_exp.cli.garbage import find_garbage

    found = find_garbage(desk.path, younger=True)
    desk.attempt(desk.path / "trials" / ONE, 2, **mine())
    assert delete(desk.path, found) == []


def test_clean_offers_what_a_dry_run_sealed_and_nobody_asks_for(desk, persona_exp):
    lone = desk.trial("aaaaaaaaaaaa")
    (desk.path / "trials" / "bbbbbbbbbbbb").mkdir()
    desk.trial("cccccccccccc", [{"status": "interrupted"}])
    write(desk.trial("dddddddddddd") / "cancel.json", "{}")
    write(desk.trial("eeeeeeeeeeee") / "adapter" / "adapter_model.safetensors", "x")
    desk.trial("ffffffffffff")
    asked = desk.sweep({"ffffffffffff": 8}, "lora.r=8-99999999")
    desk.trial("abababababab")
    desk.submission(asked, ["abababababab"])
    desk.trial("cdcdcdcdcdcd")
    write(desk.path / "jobs" / "17", f"code\npersona_exp.launch.single\n{desk.path}/trials/cdcdcdcdcdcd/seals/5ea15ea1.json\n")
    kind = "sealed for no sweep, and never run"
    assert kind not in kinds(persona_exp, "--younger").values()
    aged(desk.path)
    assert {path for path, why in kinds(persona_exp).items() if why == kind} == {"trials/aaaaaaaaaaaa", "trials/bbbbbbbbbbbb"}
    assert persona_exp("clean", "--yes")[0] == 0
    assert not lone.exists()
    assert (desk.path / "trials" / "ffffffffffff" / "config.yaml").exists()


def test_clean_keeps_what_is_sealed_anew_or_asked_for_meanwhile(desk):
    from persona_exp.cli.commands.clean import delete
    from persona_exp.cli.garbage import find_garbage

    again, wanted, begun = (desk.trial(one * 12) for one in "abc")
    aged(desk.path)
    found = find_garbage(desk.path)
    assert {one.path for one in found} == {again, wanted, begun}
    os.utime(again)
    desk.sweep({wanted.name: 8})
    desk.attempt(begun, 1, **mine())
    assert delete(desk.path, found) == []


SECRET = "a secret of somebody's\n"


def named_in_a_seal(desk, **facts):
    path = desk.path / "trials" / ONE / "seals" / "5ea15ea1.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **facts}))


def named_in_the_sweep(desk, trial_id):
    path = desk.path / "sweeps" / SWEEP / "sweep.yaml"
    path.write_text(path.read_text().replace(TWO, trial_id))


def linked(path, to):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        shutil.rmtree(path)
    path.symlink_to(to)


# What somebody who may write into runs/ can try; `away` is a folder outside it, with a secret.
TRICKS = {
    "a trial elsewhere": lambda desk, away: named_in_the_sweep(desk, "../../x"),
    "a trial by an absolute path": lambda desk, away: named_in_the_sweep(desk, str(away)),
    "data elsewhere": lambda desk, away: named_in_a_seal(desk, data_id="../../x"),
    "data in another case": lambda desk, away: named_in_a_seal(desk, data_id="AAAAAAAAAAAA"),
    "code elsewhere": lambda desk, away: named_in_a_seal(desk, code_folder="../../x"),
    "a config elsewhere": lambda desk, away: named_in_a_seal(desk, config="../../../x/secret"),
    "a linked file": lambda desk, away: linked(desk.path / "trials" / ONE / "notes.txt", away / "secret"),
    "a linked folder": lambda desk, away: linked(desk.path / "trials" / ONE / "adapter" / "more", away),
    "a linked trial": lambda desk, away: linked(desk.path / "trials" / TWO, away),
    "linked data": lambda desk, away: linked(desk.path / "data" / ("dada" * 3), away),
    "linked code": lambda desk, away: linked(desk.path / "code" / CODE[:12], away),
    "a planted module": lambda desk, away: write(desk.path / "code" / CODE[:12] / "sitecustomize.py", SECRET),
    "a planted module of a package": lambda desk, away: write(desk.path / "code" / CODE[:12] / "persona_exp" / "more.py", SECRET),
    "planted code": lambda desk, away: write(desk.path / "code" / CODE[:12] / "run.py", SECRET),
    "a planted compiled file": lambda desk, away: write(desk.path / "code" / CODE[:12] / "persona_exp" / "errors.pyc", SECRET),
    "a folder in the middle": lambda desk, away: (
        shutil.move(desk.path / "data", away / "data"),
        (away / "data" / ("dada" * 3) / "secret").write_text(SECRET),
        linked(desk.path / "data", away / "data"),
    ),
    "a pipe": lambda desk, away: os.mkfifo(desk.path / "trials" / ONE / "pipe"),
    "a line break": lambda desk, away: (desk.path / "trials" / ONE / "a\nb").write_text("x"),
    "a backslash": lambda desk, away: (desk.path / "trials" / ONE / "a\\b").write_text("x"),
}


@pytest.mark.parametrize("archive", [False, True])
@pytest.mark.parametrize("trick", TRICKS)
def test_a_prepared_folder_ships_nothing_foreign(desk, sweep, persona_exp, tmp_path, trick, archive):
    away = tmp_path / "x"
    write(away / "secret", SECRET)
    TRICKS[trick](desk, away)
    before = files(tmp_path)
    code, out, error = persona_exp("export", SWEEP, str(tmp_path / "deep" / "er" / ("out.tar.gz" if archive else "out")))
    new = files(tmp_path) - before
    assert all(name.startswith("deep/er/out") for name in new), "nothing is written outside DEST"
    if code == 2:
        assert (error.count("\n"), new) == (1, set())
        return
    place = tmp_path / "deep" / "er" / "out"
    if archive:
        with tarfile.open(f"{place}.tar.gz") as tar:
            assert all(one.isreg() for one in tar.getmembers())
            tar.extractall(place.parent, filter="data")
    assert not any(path.is_symlink() for path in place.rglob("*"))
    assert not any(SECRET.encode() in path.read_bytes() for path in place.rglob("*") if path.is_file())
    done = subprocess.run(["sha256sum", "--check", "--quiet", "--strict", "SHA256SUMS"], cwd=place, check=False)
    assert done.returncode == 0
    if trick.startswith(("a link", "linked", "a folder", "a pipe", "a line", "a back", "a planted", "planted")):
        assert "stayed behind" in out


def test_clean_follows_no_link(desk, persona_exp, tmp_path):
    """A folder of attempts that somebody put in the place of a trial's own is not ours to delete."""
    folder = desk.trial(ONE, [{"status": "finished"}])
    write(folder / "attempts" / "0001" / "checkpoints" / "step-00000008" / "model.bin", "x")
    shutil.move(folder / "attempts", tmp_path / "attempts")
    (folder / "attempts").symlink_to(tmp_path / "attempts")
    desk.trial(TWO, [{"status": "finished"}])
    shutil.move(desk.path / "trials" / TWO, tmp_path / TWO)
    write(tmp_path / TWO / "attempts" / "0001" / "checkpoints" / "x", "x")
    (desk.path / "trials" / TWO).symlink_to(tmp_path / TWO)
    write(tmp_path / "data" / ("f" * 12) / "manifest.json", "{}")
    (desk.path / "data").symlink_to(tmp_path / "data")
    aged(tmp_path)
    assert persona_exp("clean", "--younger", "--yes", "--json")[0] == 0
    assert (tmp_path / "attempts" / "0001" / "checkpoints" / "step-00000008" / "model.bin").is_file()
    assert (tmp_path / TWO / "attempts" / "0001" / "checkpoints" / "x").is_file()
    assert (tmp_path / "data" / ("f" * 12) / "manifest.json").is_file()


def test_clean_deletes_links_and_passes_over_what_is_no_folder(desk, persona_exp, tmp_path):
    """Links in the place of what it would delete go alone, and stop it from nothing else; a file in the place of a folder neither."""
    folder = desk.trial(ONE, [{"status": "finished"}])
    write(tmp_path / "scratch" / "step-00000008" / "model.bin", "x" * 1000)
    linked(folder / "attempts" / "0001" / "checkpoints", tmp_path / "scratch")
    linked(desk.path / "trials" / ".dropped-x", tmp_path / "scratch")
    linked(desk.path / "trials" / ".dropped-y", tmp_path / "nowhere")
    write(desk.trial(TWO, [{"status": "interrupted"}]) / "attempts" / "0001" / "staging", "x")
    code, out, _ = persona_exp("clean", "--younger", "--yes", "--json")
    assert code == 0
    assert len(json.loads(out)["deleted"]) == 3
    assert sum(one["bytes"] for one in json.loads(out)["found"]) == 0
    assert (tmp_path / "scratch" / "step-00000008" / "model.bin").is_file()
    assert persona_exp("clean", "--younger", "--json")[0] == 0
