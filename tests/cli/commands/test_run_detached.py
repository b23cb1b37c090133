"""`run.py --detach`: begun, it needs its terminal no more."""

import subprocess
import sys
import time

import pytest

from tests.conftest import ROOT, environment

pytestmark = pytest.mark.long


def detached(tmp_path, *arguments):
    command = [sys.executable, str(ROOT / "run.py"), *arguments, f"runs={tmp_path}/runs", "--detach"]
    return subprocess.run(command, cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, timeout=300, check=False)


def test_a_sweep_goes_on_when_its_terminal_has_gone(tmp_path):
    done = detached(tmp_path, "-m", "model=tiny", "engine=noop", "seed=1,2")
    assert done.returncode == 0, done.stderr
    (log,) = (tmp_path / "runs" / "detached").iterdir()
    assert f"writes to {log}" in done.stdout
    (sweep,) = [one for one in (tmp_path / "runs" / "sweeps").iterdir() if not one.is_symlink()]
    assert f"persona-exp status {sweep.name}" in done.stdout
    ended = time.monotonic() + 120
    while len(list((tmp_path / "runs" / "trials").glob("*/noop*"))) < 2 and time.monotonic() < ended:
        time.sleep(0.2)
    records = [path.read_text() for path in (tmp_path / "runs" / "trials").glob("*/attempts/0001.json")]
    assert len(records) == 2
    assert all('"finished"' in record for record in records)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-m", "model=tinny", "seed=1,2"], "did you mean tiny?"),
        (["-m", "model=tiny", "hydra/launcher=slurm", "seed=1,2"], "leave out --detach"),
        (["--cfg", "job"], "--cfg runs nothing"),
        (["-m", "model=tiny", "seed=1,2", "--dry-run"], "--dry-run runs nothing"),
    ],
)
def test_what_is_wrong_is_said_at_once(tmp_path, arguments, said):
    done = detached(tmp_path, *arguments)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert said in done.stderr
    assert not list(tmp_path.glob("runs/detached/*"))
