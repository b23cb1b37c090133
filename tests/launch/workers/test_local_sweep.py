"""A sweep on this machine, by the person's command."""

import json
import signal
import subprocess
import sys

import pytest
import yaml

from persona_exp.launch.sweeps.submission_record import all_submissions
from tests.conftest import ROOT, environment
from tests.launch.rehearsed import until

pytestmark = pytest.mark.long

COMMAND = ("run.py", "-m", "seed=0,1,2", "engine=noop", "model=tiny", "hydra.launcher.n_jobs=2", "cluster.lease_seconds=77")


def command(folder, *more):
    """The person's command as a process; its output goes to a file."""
    with (folder / "output").open("a") as output:
        line = [sys.executable, *COMMAND, *more]
        return subprocess.Popen(line, cwd=ROOT, env=environment(folder), stdin=subprocess.DEVNULL, stdout=output, stderr=output)


def test_a_local_sweep_is_shared_gone_on_with_and_left(tmp_path):
    assert command(tmp_path).wait(timeout=300) == 0
    (sweep,) = (tmp_path / "runs" / "sweeps").iterdir()
    (made,) = all_submissions(sweep)
    assert [len(task) for task in made.tasks] == [2, 1]
    launch = made.options["launch"]
    assert (launch["n_jobs"], launch["lease_seconds"], launch["environment_scratch"]) == (2, 77.0, None)
    assert (launch["together"], launch["terms"]["tasks_at_once"]) == ([1, 1], 2)
    described = yaml.safe_load((sweep / "sweep.yaml").read_text())
    assert described["command"] == " ".join(["python", *COMMAND])

    # One trial was cancelled, another runs elsewhere.
    first, second = (tmp_path / "runs" / "trials" / trial_id for trial_id in made.trial_ids[:2])
    for trial in (first, second):
        (trial / "adapter" / "noop.json").unlink()
    (first / "cancel.json").write_text("{}")
    for trial, said in ((first, {"status": "interrupted"}), (second, {"status": "running", "host": "elsewhere", "ended": None})):
        attempt = trial / "attempts" / "0001.json"
        attempt.write_text(json.dumps({**json.loads(attempt.read_text()), **said}))
    again = command(tmp_path, "hydra/launcher=local")
    until(lambda: "One trial is running elsewhere; waiting" in (tmp_path / "output").read_text(), 120)
    again.send_signal(signal.SIGTERM)
    assert again.wait(timeout=300) == 75
    told = (tmp_path / "output").read_text()
    assert "1 trial had been cancelled: the command takes that back." in told
    assert f"Stopped waiting: what runs elsewhere goes on there, and the same command comes back to {sweep.name}." in told
    assert "Traceback" not in told
    assert json.loads((first / "attempts" / "0002.json").read_text())["status"] == "finished"

    # The last command given is the one that goes on with it, under the same name.
    anew = yaml.safe_load((sweep / "sweep.yaml").read_text())
    assert anew == {**described, "command": f"{described['command']} hydra/launcher=local"}
    assert list((tmp_path / "runs" / "sweeps").iterdir()) == [sweep]
