"""slurm/testbed/: a cluster beside another, with other settings; and what is said where there can be none."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from persona_exp.launch.slurm import site_limits, slurm_accounting
from tests.slurm.site import TESTBED, Site, testbed_site
from tests.slurm.test_slurm_contract import Bench


@pytest.fixture
def other(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A cluster without accounting that gives preempted jobs no signal of their own, where any user may reach it."""
    with tempfile.TemporaryDirectory(prefix="testbed-") as folder:
        Path(folder).chmod(0o755)
        with testbed_site(Path(folder) / "cluster", accounting="no", preempt_signal="no", nodes=1, grace=5, max_array_size=101) as made:
            for name, value in made.environment.items():
                monkeypatch.setenv(name, value)
            yield made


@pytest.mark.slurm
def test_a_cluster_without_accounting_beside_another(cluster: Site, other: Site, tmp_path: Path) -> None:
    if cluster.fake:
        pytest.skip("the fake needs no port")
    assert other.run("squeue", "--version") == cluster.run("squeue", "--version")
    assert [len(site.run("sinfo", "-h", "-N", "-p", "main").splitlines()) for site in (cluster, other)] == [3, 1]
    bench = Bench(other, tmp_path)
    id = bench.submit("--requeue", array=(0, 0), signal_delay_s=20)
    bench.wait("start", "parent-0-0")
    assert slurm_accounting.history([id]) is None
    assert site_limits.limits("low") == site_limits.Limits(101, None, 80)
    other.preempt(id)
    # Slurm's TERM comes while the job still counts as running, and again when it ends for its own requeueing.
    last = bench.wait("SIGTERM", "parent-0-0")
    assert (last["cancelled"], last["requeued"]) == (False, True)
    assert bench.wait("start", "parent-0-1")["job"]["restarts"] == 1
    other.clear()


@pytest.mark.slurm
@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("runuser"), reason="needs root, to become somebody else")
def test_a_job_of_an_ordinary_user(other: Site) -> None:
    command = "cd /tmp && sbatch --wait --output=/dev/null --time=1 --wrap='test $(id -un) = nobody && srun test $(id -un) = nobody'"
    assert "Submitted" in other.run("runuser", "--user", "nobody", "--", "bash", "-c", command)


def test_where_slurm_cannot_be_had_one_sentence_says_why(tmp_path: Path) -> None:
    for name in ("bash", "paste", "id"):
        (tmp_path / name).symlink_to(str(shutil.which(name)))
    for flags in (["--check"], []):
        command = ["bash", str(TESTBED / "install.sh"), *flags]
        done = subprocess.run(command, env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (3, "")
        assert done.stdout.startswith("The Slurm testbed cannot run here: ")
        assert done.stdout.count("\n") == 1
        assert "not installed" in done.stdout
