"""benchmarks/cli_latency.py says how long each command took, on a sweep that holds trials of every kind."""

import json
import subprocess
import sys

from persona_exp.cli.sweep_status import sweep_statuses
from tests.conftest import ROOT


def test_a_small_one():
    command = [sys.executable, str(ROOT / "benchmarks" / "cli_latency.py"), "--json", "--trials", "12", "--repeats", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    (line,) = done.stdout.splitlines()
    told = json.loads(line)
    assert (told["name"], told["unit"], told["n"], told["setting"]["trials"]) == ("cli_latency", "seconds", 1, 12)
    assert told["ours"] == max(one["seconds"] for one in told["commands"].values())
    assert told["ratio"] == told["baseline"] / told["ours"]


def test_its_sweep_is_read_as_it_is_meant(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import cli_latency

    cli_latency.make(tmp_path, 40)
    (standing,) = sweep_statuses(tmp_path, [cli_latency.SWEEP])
    assert standing.counts == {"finished": 36, "running": 1, "interrupted": 1, "sealed": 1, "failed": 1}
