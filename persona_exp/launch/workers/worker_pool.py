"""A pool of workers side by side on this machine, each a process of its own."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from types import FrameType
from typing import BinaryIO

from persona_exp.atomic_files import make_folder
from persona_exp.launch.slurm.verified_start import verified_start
from persona_exp.launch.sweeps.submission_record import Submission
from persona_exp.launch.workers.output_relay import print_line
from persona_exp.launch.workers.training_process import STOPPING, environment
from persona_exp.launch.workers.worker_loop import FAILED, INTERRUPTED
from persona_exp.launch.workers.worker_tasks import WorkerTasks
from persona_exp.training.stop_signals import SIGNALS

# A worker that is killed is started again so often.
RESTARTS = 3


class WorkerPool:
    """Workers as processes of their own, `jobs` of them at once; while the block lasts, signals go to them."""

    def __init__(self, submission: Submission, tasks: WorkerTasks, gpus: Sequence[str], jobs: int) -> None:
        self.signalled = False
        # Each with all cores, they wait for one another more than they compute.
        self._threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, len(os.sched_getaffinity(0)) // jobs))
        self._submission, self._tasks, self._gpus = submission, tasks, gpus
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._restarts: dict[int, int] = {}
        self._logs = ExitStack()

    def __enter__(self) -> "WorkerPool":
        self._before = {number: signal.signal(number, self._forward) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._logs.close()

    def start(self, task: int) -> None:
        """Start the worker of a task."""
        code = self._tasks.search_code or self._tasks.code(self._tasks.tasks[task][0])
        gpu = self._gpus[task % len(self._gpus)] if self._gpus else None
        command = [*verified_start(sys.executable, code, "persona_exp.launch.workers"), str(self._submission.path), "--task", str(task)]
        command += ["--parent", str(os.getpid()), *(["--gpu", gpu] if gpu is not None else [])]
        log, variables = self._log(task), {**environment(code, gpu), "OMP_NUM_THREADS": self._threads}
        # In a session of its own, so that Ctrl-C reaches it through us alone, once.
        self._processes[task] = subprocess.Popen(
            command, cwd=code, env=variables, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
        if self.signalled:
            self._processes[task].terminate()

    def running(self) -> bool:
        """Return whether any worker is still at it; one that was killed is started again."""
        for task, process in list(self._processes.items()):
            code = process.poll()
            if code is not None and code < 0 and not self.signalled and self._restarts.get(task, 0) < RESTARTS:
                self._restarts[task] = self._restarts.get(task, 0) + 1
                print_line(f"Worker {task} was killed by {signal.Signals(-code).name}; started again.")
                self.start(task)
        return any(process.poll() is None for process in self._processes.values())

    def code(self) -> int:
        """Return the worst exit code."""
        codes = [process.returncode for process in self._processes.values()]
        return INTERRUPTED if self.signalled else max(FAILED if code < 0 else code for code in codes)

    def _log(self, task: int) -> BinaryIO:
        logs = self._submission.logs
        make_folder(logs)
        return self._logs.enter_context((logs / f"worker-{task}.log").open("ab"))

    def _forward(self, number: int, frame: FrameType | None) -> None:
        first, self.signalled = not self.signalled, True
        for process in self._processes.values():
            process.send_signal(number)
        if first:
            with suppress(OSError):
                os.write(2, STOPPING)
