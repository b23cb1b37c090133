"""A Slurm site that tests run on: the fake, or a real cluster on this machine. Both do the same to their jobs."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.conftest import ROOT

FAKE = Path(__file__).parent / "fake"
TESTBED = ROOT / "slurm" / "testbed"
Answer = TypeVar("Answer")
COMMANDS = ("sbatch", "srun", "squeue", "sacct", "scontrol", "scancel", "sinfo", "sacctmgr", "fakeslurm")


@dataclass
class Site:
    """`environment` points the commands at it. `patience` is how many seconds it may take to do what it was asked."""

    name: str
    state: Path
    environment: dict[str, str]
    patience: float

    @property
    def fake(self) -> bool:
        return self.name == "fake"

    def run(self, *command: str) -> str:
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def preempt(self, job: str) -> None:
        """A job of higher priority takes its place (on the testbed, everybody's place)."""
        if self.fake:
            self.run("fakeslurm", "preempt", job)
        else:
            nodes = self.run("sinfo", "-h", "-p", "high", "-o", "%D").strip()
            wide = ["--partition=high", "--exclusive", f"--nodes={nodes}", "--time=1", "--output=/dev/null", "--job-name=high"]
            self.run("sbatch", *wide, "--wrap=sleep 1")

    def fail(self, node: str) -> None:
        self.run(*(["fakeslurm", "fail", node] if self.fake else ["bash", str(TESTBED / "cluster.sh"), "down", node]))

    def repair(self, node: str) -> None:
        self.run(*(["fakeslurm", "repair", node] if self.fake else ["bash", str(TESTBED / "cluster.sh"), "up", node]))

    @contextmanager
    def controller_down(self) -> Iterator[None]:
        self.run(*(["fakeslurm", "answer", "no"] if self.fake else ["bash", str(TESTBED / "cluster.sh"), "stop", "slurmctld"]))
        try:
            yield
        finally:
            self.run(*(["fakeslurm", "answer", "yes"] if self.fake else ["bash", str(TESTBED / "cluster.sh"), "start"]))

    def until(self, question: Callable[[], Answer], seconds: float | None = None) -> Answer:
        """Ask until the answer is true; it."""
        end = time.monotonic() + (seconds or self.patience)
        while True:
            answer = question()
            if answer:
                return answer
            assert time.monotonic() < end, f"still {answer!r} on the {self.name} site"
            time.sleep(0.02 if self.fake else 0.1)

    def clear(self) -> None:
        """Cancel all jobs and wait until they are gone."""
        if self.fake:
            self.run("fakeslurm", "clear")
            return
        user = self.run("id", "-un").strip()
        self.run("scancel", f"--user={user}")
        self.until(lambda: not self.run("squeue", "--noheader", "--format=%i").strip())


@contextmanager
def fake_site(state: Path, **settings: Any) -> Iterator[Site]:
    """A fake cluster with its state in `state`; `settings` are those of fake/cluster.py."""
    for folder, commands in (("bin", COMMANDS), ("compute", [name for name in COMMANDS if name != "scontrol"])):
        (state / folder).mkdir(parents=True)
        for name in commands:
            (state / folder / name).symlink_to(FAKE / "bin" / "command")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "SBATCH_"))}
    environment |= {"FAKE_SLURM": str(state), "FAKE_SLURM_CLIENT": str(FAKE / "client.py"), "FAKE_SLURM_PYTHON": sys.executable}
    environment["PATH"] = os.pathsep.join([str(state / "bin"), os.environ["PATH"]])
    if not settings.get("scontrol_in_jobs", True):
        settings["path_in_jobs"] = os.pathsep.join([str(state / "compute"), *_without_scontrol(os.environ["PATH"], state)])
    command = [sys.executable, str(FAKE / "server.py"), str(state), json.dumps(settings)]
    with subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL) as server:
        try:
            site = Site("fake", state, environment, patience=60)
            site.until(lambda: (state / "socket").exists())
            yield site
        finally:
            server.terminate()


def _without_scontrol(path: str, state: Path) -> Iterator[str]:
    """The folders of a PATH; one that holds a real scontrol is there as a folder of links to all else."""
    for number, folder in enumerate(filter(Path.is_dir, map(Path, path.split(os.pathsep)))):
        if not (folder / "scontrol").exists():
            yield str(folder)
            continue
        mirror = state / f"path{number}"
        mirror.mkdir()
        for file in folder.iterdir():
            if file.name != "scontrol":
                (mirror / file.name).symlink_to(file)
        yield str(mirror)


@contextmanager
def testbed_site(state: Path, **settings: Any) -> Iterator[Site]:
    """A real cluster; skips the test where Slurm cannot be had. `settings` are those of cluster.sh, in lower case."""
    check = subprocess.run(["bash", str(TESTBED / "install.sh"), "--check"], capture_output=True, text=True, check=False)
    if check.returncode:
        pytest.skip(check.stdout.strip())
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "SBATCH_", "TESTBED_"))}
    environment |= {"PERSONA_EXP_TESTBED": str(state), "SLURM_CONF": str(state / "etc" / "slurm.conf")}
    environment |= {f"TESTBED_{name.upper()}": str(value) for name, value in settings.items()}
    cluster = ["bash", str(TESTBED / "cluster.sh")]
    try:
        subprocess.run([*cluster, "start"], env=environment, check=True, timeout=120, stdin=subprocess.DEVNULL)
        yield Site("testbed", state, environment, patience=60)
    finally:
        subprocess.run([*cluster, "clean"], env=environment, check=True, timeout=60, stdin=subprocess.DEVNULL)


testbed_site.__test__ = False  # type: ignore[attr-defined]
