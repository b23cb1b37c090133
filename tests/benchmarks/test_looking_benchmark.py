"""benchmarks/looking.py says how long each command took, on a sweep that holds trials of every kind."""

import json
import subprocess
import sys

from persona_exp.cli.standing import standings
from tests.conftest import ROOT


def test_a_small_one():
    command = [sys.executable, str(ROOT / "benchmarks" / "looking.py"), "--json", "--trials", "12", "--repeats", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    (line,) = done.stdout.splitlines()
    told = json.loads(line)
    assert (told["name"], told["unit"], told["n"], told["setting"]["trials"]) == ("looking", "seconds", 1, 12)
    assert told["ours"] == max(one["seconds"] for one in told["commands"].values())
    assert told["ratio"] == told["baseline"] / told["ours"]


def test_its_sweep_is_read_as_it_is_meant(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import looking

    looking.make(tmp_path, 40)
    (standing,) = standings(tmp_path, [looking.SWEEP])
    assert standing.counts == {"finished": 36, "running": 1, "interrupted": 1, "sealed": 1, "failed": 1}
