"""What `run.py --cfg job` prints, to the letter: a default that moves is seen."""

from tests.conftest import ROOT

GOLDEN = ROOT / "tests" / "golden" / "cfg_job.yaml"


def test_cfg_job(run_py):
    done = run_py("--cfg", "job", "runs=runs")
    assert done.returncode == 0, done.stderr
    assert done.stdout == GOLDEN.read_text()
