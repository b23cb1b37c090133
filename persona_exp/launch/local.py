"""Trials on this machine, each in a child process that this torch-free parent watches."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from types import FrameType

from persona_exp.progress import clock
from persona_exp.training.interruption import SIGNALS
from persona_exp.trial.provenance import ROOT
from persona_exp.trial.seal import Sealed

INTERRUPTED = 75

# glibc would hand freed activations back to the kernel and fault them in again at every step.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(1 << 32), "MALLOC_TRIM_THRESHOLD_": str(1 << 34), "MALLOC_TOP_PAD_": str(1 << 30)}


def run_locally(trials: Sequence[Sealed], titles: Sequence[str]) -> int:
    """Run `trials` in order; the worst exit code. A signal is passed on, and the trials behind it are left for the next time."""
    worst, started = 0, time.monotonic()
    with _Child() as child:
        for number, (trial, title) in enumerate(zip(trials, titles, strict=True)):
            left = (time.monotonic() - started) / number * (len(trials) - number) if number else None
            estimate = f", about {clock(left)} left" if left else ""
            print(f"\n[{number + 1}/{len(trials)}] {title} (trial {trial.trial_id}{estimate})", flush=True)
            code = child.run(trial)
            worst = max(worst, code)
            if code == INTERRUPTED or child.signalled:
                return INTERRUPTED
    return worst


class _Child:
    """At most one child at a time; while it runs, signals go to it."""

    def __init__(self) -> None:
        self.signalled = False
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "_Child":
        self._before = {number: signal.signal(number, self._forward) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def run(self, trial: Sealed) -> int:
        command = [sys.executable, "-m", "persona_exp.trial", "--parent", str(os.getpid()), str(trial.config.absolute())]
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        if self.signalled:
            return INTERRUPTED
        environment = {**KEEP_MEMORY, **os.environ, "PYTHONPATH": path}
        # A trial computes on one GPU: with several in sight, transformers would multiply its batch by their number.
        environment["CUDA_VISIBLE_DEVICES"] = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
        with subprocess.Popen(command, env=environment) as process:
            self._process = process
            if self.signalled:
                process.terminate()
            code = process.wait()
        self._process = None
        if code < 0:
            print(f"error: trial {trial.trial_id} was killed by {signal.Signals(-code).name}.", flush=True)
            return 1
        return code

    def _forward(self, number: int, frame: FrameType | None) -> None:
        self.signalled = True
        print("Stopping: the running step is finished and saved first.", file=sys.stderr, flush=True)
        if self._process:
            self._process.send_signal(number)
