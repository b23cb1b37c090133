"""The upload of runs of Weights & Biases that were recorded offline: by `wandb sync`, which marks each file that it has uploaded."""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# wandb's file before its first record.
HEADER_BYTES = 7
# What would have it upload to another run, not at all or by another process, or say nothing.
NOT_INHERITED = ("WANDB_MODE", "WANDB_RUN_ID", "WANDB_NAME", "WANDB_RESUME", "WANDB_SERVICE", "WANDB_SILENT", "WANDB_QUIET")


@dataclass(frozen=True)
class OfflineRun:
    """What one attempt recorded: wandb's file at `path`."""

    path: Path

    @property
    def uploaded(self) -> bool:
        return self._mark.exists()

    @property
    def empty(self) -> bool:
        """Whether its process was killed before wandb wrote anything."""
        return self.size <= HEADER_BYTES

    @property
    def size(self) -> int:
        return self.path.stat().st_size

    def unmark(self) -> None:
        """Have it uploaded again."""
        self._mark.unlink(missing_ok=True)

    @property
    def _mark(self) -> Path:
        return self.path.with_suffix(".wandb.synced")


@dataclass(frozen=True)
class UploadResult:
    """`failure` says why a run was not uploaded, None where it was; `url` is where it is seen, as far as wandb said."""

    failure: str | None
    url: str | None


def offline_runs(attempt_folder: Path) -> list[OfflineRun]:
    """Return what an attempt recorded offline, in the order of time."""
    return [OfflineRun(path) for path in sorted(attempt_folder.glob("wandb/offline-run-*/*.wandb"))]


def upload(runs: Sequence[OfflineRun]) -> dict[OfflineRun, UploadResult]:
    """Upload `runs`, those of one id in the order of time; return what became of each. `wandb sync` ends with 0 whatever happened."""
    sizes = {run: run.size for run in runs}
    inherited = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
    with tempfile.TemporaryDirectory() as own:
        # Its own logs and settings go to a `wandb` below.
        Path(own, "wandb").mkdir()
        done = subprocess.run(
            [sys.executable, "-m", "wandb", "sync", *(str(run.path.parent.absolute()) for run in runs)],
            env={**inherited, "WANDB_DIR": own},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
    lines = [re.sub(r"^wandb:\s*", "", line).strip() for line in done.stdout.splitlines()]
    return {run: _result(run, sizes, lines, done.returncode) for run in runs}


def _result(run: OfflineRun, sizes: Mapping[OfflineRun, int], lines: Sequence[str], code: int) -> UploadResult:
    run_id = run.path.stem.removeprefix("run-")
    urls = (found[1] for line in lines if (found := re.search(rf"View run .* at (\S+/runs/{re.escape(run_id)})$", line)))
    url = next(urls, None)
    if not run.uploaded:
        errors = [line for line in lines if "ERROR" in line or line.startswith("Error:")]
        own = [line for line in errors if run.path.parent.name in line or f"/{run_id}]" in line]
        return UploadResult(next(reversed(own or errors), f"`wandb sync` ended with exit code {code}"), url)
    if run.size != sizes[run]:
        run.unmark()
        return UploadResult("it was still being written", url)
    return UploadResult(None, url)
