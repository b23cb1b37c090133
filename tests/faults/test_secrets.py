"""A secret in the environment goes to the job and nowhere else."""

import threading
from pathlib import Path

import pytest

from tests.faults.sweep import ONE, changed
from tests.faults.test_signals import STEP

pytestmark = [pytest.mark.slurm, pytest.mark.faults]

SECRET = "canary-51f0c2d97ab4"
NAMES = ("CANARY", "WANDB_API_KEY", "HF_TOKEN", "OPENAI_API_KEY")


class Watch(threading.Thread):
    """What every process of this host was started with, looked at ten times a second."""

    def __init__(self):
        super().__init__(daemon=True)
        self.over = threading.Event()
        self.seen = set()
        self.looks = 0

    def run(self):
        while not self.over.wait(0.1):
            self.looks += 1
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    words = path.read_bytes()
                except OSError:
                    continue
                if SECRET.encode() in words:
                    self.seen.add(words.replace(b"\0", b" ").decode(errors="replace"))


@pytest.mark.parametrize("tracker", ["none", "wandb"])
def test_no_secret_in_any_file_log_or_command_line(cluster, sweep, tracker):
    variables = {**dict.fromkeys(NAMES, SECRET), "WANDB_MODE": "offline"}
    arguments = changed(ONE, f"tracker={tracker}", "train.max_steps=24")
    one = sweep(arguments, variables=variables)
    watch = Watch()
    watch.start()
    one.launch()
    trial = one.waits("the trial is named", lambda: next(iter(one.trials()), None))
    one.reaches(trial, STEP)
    # The job has it: an environment that never reached it would prove nothing.
    (child,) = cluster.processes(one.job(trial))["child"]
    assert SECRET.encode() in Path(f"/proc/{child}/environ").read_bytes()
    # What is written on the way out and on the way back in counts too.
    cluster.run("scancel", "--full", "--signal=USR2", one.address(trial))
    one.waits("a second attempt", lambda: len(one.attempts(trial)) == 2 or one.adapters(), 90)
    told = one.cli("status", one.name(), "--json").stdout + one.cli("show", trial).stdout + one.cli("why", trial).stdout
    said = one.ends()
    one.drains()
    one.cli("export", one.name(), str(one.folder / "exported"))
    watch.over.set()
    watch.join()
    assert watch.looks > 20
    assert not watch.seen
    assert SECRET not in told + said
    written = [path for path in one.folder.rglob("*") if path.is_file()]
    assert len(written) > 50
    assert not [path for path in written if SECRET.encode() in path.read_bytes()]
