"""Jobs handed to Slurm, held, released and cancelled."""

import re
from collections.abc import Sequence
from pathlib import Path

from persona_exp import files
from persona_exp.errors import UserError
from persona_exp.launch.slurm.command import Answer, ask

_ID = re.compile(r"^(\d+)(;.*)?$", re.MULTILINE)

# A busy controller may keep sbatch waiting; one that does not answer for this long is down.
_SECONDS = 120

_STARTED = "no longer pending execution|already finished"

# What sbatch says where asking again may help: the script was not taken.
_BUSY = ("Unable to contact slurm controller", "Socket timed out", "temporarily unable to accept job", "Resource temporarily unavailable")


def submit(text: str, path: Path) -> str:
    """Write the script `text` to `path` and submit it; the job's id. Raises UserError with sbatch's own reason.

    It is called once and never again by itself: an sbatch that timed out may have been heard, which only the queue can tell.
    """
    _write(text, path)
    answer = _asked(["sbatch", "--parsable", str(path)], path)
    found = _ID.search(answer.out)
    if answer.code or not found:
        raise UserError(_refusal(path, answer))
    return found[1]


def test_only(text: str, path: Path) -> str:
    """Whether Slurm would take this script, in its own words (when and where it would start); UserError with its reason where not."""
    _write(text, path)
    answer = _asked(["sbatch", "--test-only", str(path)], path)
    if answer.code:
        raise UserError(_refusal(path, answer))
    return answer.reason.removeprefix("sbatch: ") if answer.error else answer.out.strip()


# pytest would collect it wherever it is imported.
test_only.__test__ = False  # type: ignore[attr-defined]


def cancel(ids: Sequence[str], *, pending_only: bool = False) -> None:
    """Cancel jobs, arrays or tasks (`12`, `12_3`); those that have ended are passed over. UserError where Slurm refuses."""
    if not ids:
        return
    answer = ask(["scancel", *(["--state=PENDING"] if pending_only else []), *ids], seconds=_SECONDS)
    if answer is None or (answer.code and not re.search("Invalid job id|already completed", answer.error)):
        raise UserError(f"Slurm did not cancel {', '.join(ids)}: {answer.reason if answer else 'scancel does not answer'}.")


def release(id: str) -> None:
    """Let a job start that was held or waits for another; what has started is passed over. UserError where Slurm refuses."""
    _update([["scontrol", "update", f"JobId={id}", "Dependency="], ["scontrol", "release", id]], f"release job {id}")


def hold(id: str) -> None:
    """Keep what has not started of a job from starting. UserError where Slurm refuses."""
    _update([["scontrol", "hold", id]], f"hold job {id}")


def _update(commands: Sequence[Sequence[str]], what: str) -> None:
    for command in commands:
        answer = ask(command, seconds=_SECONDS)
        if answer is None or (answer.code and not re.search(_STARTED, answer.error)):
            raise UserError(f"Slurm did not {what}: {answer.reason if answer else 'scontrol is missing or does not answer'}.")


def _write(text: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_text(path, text)


def _asked(command: list[str], path: Path) -> Answer:
    answer = ask(command, seconds=_SECONDS)
    if answer is None:
        why = f"sbatch is not installed or has not answered for {_SECONDS} s; see `squeue --me` before trying again"
        raise UserError(f"Slurm did not take {path}: {why}.")
    return answer


def _refusal(path: Path, answer: Answer) -> str:
    later = "; the same command later goes on" if any(text in answer.error for text in _BUSY) else ""
    return f"Slurm did not take {path}: {answer.reason}{later}."
