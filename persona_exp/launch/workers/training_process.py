"""The training process of a worker: one child at a time, that gets the worker's signals and one GPU.

On a terminal it has a session of its own: Ctrl-C reaches it through the worker alone, and a terminal that is closed means to save and
leave.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from persona_exp.cgroup_memory import out_of_memory_kills
from persona_exp.launch.recovery.memory_backoff import AS_SEALED, MemoryLimits
from persona_exp.launch.slurm.verified_start import NO_COMPILED_FILES, verified_start
from persona_exp.launch.workers.output_relay import Outlet
from persona_exp.process_identity import process_started
from persona_exp.training.stop_signals import SIGNALS
from persona_exp.trial.asked_gpu import VARIABLE as ASKED_GPU
from persona_exp.trial.asked_gpu import visible_devices_asked
from persona_exp.trial.tracked_run import SWEEP_VARIABLE

PROGRAM, SEARCH_PROGRAM = "persona_exp.trial", "persona_exp.search"

# glibc would hand freed activations back to the kernel and fault them in again at every step.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(1 << 32), "MALLOC_TRIM_THRESHOLD_": str(1 << 34), "MALLOC_TOP_PAD_": str(1 << 30)}

# Folders that a person may name from where the command was given; the child works elsewhere.
FOLDERS = ("PERSONA_EXP_CACHE", "HF_HOME", "HF_HUB_CACHE", "TORCH_HOME", "WANDB_DIR", "RESUME_CHECKPOINT")

STOPPING = b"Stopping: the last whole step is saved first; Ctrl-C again stops at once.\n"


@dataclass(frozen=True)
class ProcessExit:
    """How a child ended: `code` is negative for the signal that killed it, `memory`: the kernel killed it for want of memory.

    `started` tells its process from others of that number (process_identity.process_started).
    """

    pid: int
    code: int
    memory: bool
    started: str | None = None

    @property
    def how(self) -> str:
        """Return `SIGKILL` or `exit code 1`."""
        return signal.Signals(-self.code).name if self.code < 0 else f"exit code {self.code}"


class TrainingProcess:
    """Runs training processes one after the other; while the block lasts, signals go to the running one."""

    def __init__(self, *, gpu: str | None = None, log: bool = False, program: Sequence[str] = ()) -> None:
        """`gpu` is the one it may see (None: the first of CUDA_VISIBLE_DEVICES); with `log` its output goes to its attempt's own log.

        `program` takes the place of the verified start of what trains.
        """
        self.signalled: str | None = None
        self.stopped_at_once = False
        self.copy: Path | None = None
        self.started: str | None = None
        self._copied = False
        self._gpu, self._log, self._program = gpu, log, tuple(program)
        self._interrupts = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._outlet: Outlet | None = None

    def __enter__(self) -> "TrainingProcess":
        self._before = {number: signal.signal(number, self._forward) for number in SIGNALS}
        others = {signal.SIGHUP: self._hang_up, signal.SIGWINCH: self._resize, signal.SIGTSTP: self._pause}
        for number, handler in others.items():
            # nohup has hang-ups ignored, and so it stays.
            if signal.getsignal(number) == signal.SIG_DFL:
                self._before[number] = signal.signal(number, handler)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def run(
        self,
        seals: Sequence[Path],
        *,
        code: Path,
        limits: MemoryLimits = AS_SEALED,
        dead: Mapping[str, str] | None = None,
        held: Path | None = None,
        sweep: Path | None = None,
        search: Path | None = None,
        watch: Callable[[], None] | None = None,
        every_seconds: float = 5.0,
    ) -> ProcessExit:
        """Run the trials of `seals` with the code in the folder `code`, and return how that ended; call `watch` now and then meanwhile.

        `held` is a file: once it is there, no further trial is started; `sweep` is the sweep's folder. With `search`, the
        same of a search, the child asks for more trials when those are done. `dead` maps a trial to "NUMBER=CAUSE=WORDS", its attempt
        that need not be waited for and what ended it. Main thread only: the kernel ends the child when the thread that made it ends.
        """
        program = self._program or tuple(verified_start(sys.executable, code, SEARCH_PROGRAM if search else PROGRAM))
        program = (*program, f"--search={search.absolute()}") if search else program
        program = (*program, f"--sweep={sweep.absolute()}") if sweep and not search else program
        command = [*program, "--parent", str(os.getpid()), *(["--log"] if self._log else [])]
        sizes = {"--micro-batch": limits.micro_batch_size, "--together": limits.together, "--row-tokens": limits.row_tokens}
        command += [f"{option}={size}" for option, size in sizes.items() if size]
        command += [f"--held={held}"] if held else []
        command += [f"--dead={trial}={end}" for trial, end in (dead or {}).items()]
        command += [str(path.absolute()) for path in seals]
        kills = out_of_memory_kills()
        with Outlet() as outlet:
            self._outlet = outlet
            process = subprocess.Popen(
                command,
                cwd=code,
                env=environment(code, self._gpu, self.copy) | ({SWEEP_VARIABLE: sweep.name} if sweep else {}),
                stdin=subprocess.DEVNULL,
                stdout=outlet.stdout,
                stderr=outlet.stderr,
                start_new_session=outlet.terminal,
            )
            self._process, self.started = process, process_started(process.pid)
            outlet.close()
            if self.signalled:
                process.terminate()
            self._wait(process, watch, every_seconds)
            self._process = self._outlet = None
        memory = process.returncode == -signal.SIGKILL and out_of_memory_kills() > kills
        return ProcessExit(process.pid, process.returncode, memory, self.started)

    def copy_environment(self, scratch: str | None) -> None:
        """Let children import from a copy of what is installed, below `scratch`: made once, and shared by the node's other workers."""
        if scratch and not self._copied:
            from persona_exp.launch.workers.environment_copy import environment_copy

            self._copied, self.copy = True, environment_copy(scratch)

    @property
    def pid(self) -> int | None:
        """Process number of the running child; None without one."""
        return self._process.pid if self._process else None

    def terminate(self) -> None:
        """Ask the running child to save and leave."""
        if self._process:
            self._process.terminate()

    def _wait(self, process: "subprocess.Popen[bytes]", watch: Callable[[], None] | None, every_seconds: float) -> None:
        ended = threading.Event()

        def wait() -> None:
            process.wait()
            ended.set()

        # Popen.wait with a time limit polls twenty times a second.
        threading.Thread(target=wait, daemon=True).start()
        while not ended.wait(every_seconds if watch else None):
            if watch:
                watch()

    def _forward(self, number: int, frame: FrameType | None) -> None:
        first = self.signalled is None
        self.signalled = signal.Signals(number).name
        self._interrupts += number == signal.SIGINT
        process = self._process
        if process and self._interrupts > 1:
            self.stopped_at_once = True
            process.kill()
        elif process:
            process.send_signal(number)
        if first and process:
            # Not through sys.stderr, which the signal may have come in the midst of.
            with suppress(OSError):
                os.write(2, STOPPING)

    def _hang_up(self, number: int, frame: FrameType | None) -> None:
        """Save and leave, for the terminal is gone."""
        self.signalled = self.signalled or "SIGHUP"
        self.terminate()

    def _resize(self, number: int, frame: FrameType | None) -> None:
        if self._outlet:
            self._outlet.resize()

    def _pause(self, number: int, frame: FrameType | None) -> None:
        """Stop the child and this process at Ctrl-Z, and let both go on afterwards."""
        if self._process:
            self._process.send_signal(signal.SIGSTOP)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        # Here it goes on.
        signal.signal(number, self._pause)
        if self._process:
            self._process.send_signal(signal.SIGCONT)


def environment(code: Path, gpu: str | None, copy: Path | None = None) -> dict[str, str]:
    """Return a child's environment: the worker's environment, the sealed code in front, then the copy of what is installed, one GPU."""
    front = [str(one.absolute()) for one in (code, copy) if one]
    path = [str(Path(one).absolute()) for one in os.environ.get("PYTHONPATH", "").split(os.pathsep) if one]
    folders = {name: str(Path(os.environ[name]).expanduser().absolute()) for name in FOLDERS if os.environ.get(name)}
    # A trial computes on one GPU: with several in sight, transformers would multiply its batch by their number.
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0] if gpu is None else gpu
    # What run.py has set for itself, to have Hydra raise its errors, and the sweep of a worker above.
    inherited = {name: value for name, value in os.environ.items() if name not in ("HYDRA_FULL_ERROR", SWEEP_VARIABLE)}
    kept = {**KEEP_MEMORY, **NO_COMPILED_FILES, **inherited, **folders}
    if asked := visible_devices_asked(os.environ):
        kept[ASKED_GPU] = kept.get(ASKED_GPU) or asked
    return {**kept, "PYTHONPATH": os.pathsep.join([*front, *path]), "CUDA_VISIBLE_DEVICES": visible}
