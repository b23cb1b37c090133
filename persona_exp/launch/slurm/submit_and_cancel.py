"""Jobs handed to Slurm, held, released and cancelled."""

import re
from collections.abc import Sequence
from pathlib import Path

from persona_exp import atomic_files
from persona_exp.errors import UserError
from persona_exp.launch.slurm.slurm_command import Answer, ask, cluster_of
from persona_exp.launch.slurm.slurm_queue import at_hand, job

# What sbatch says with --parsable, and without, as a site's wrapper may call it.
_PARSABLE = re.compile(r"^\s*(\d+)(?:;\S+)?\s*$", re.MULTILINE)
_PLAIN = re.compile(r"^.*\bSubmitted batch job (\d+)", re.MULTILINE)
_NAME = re.compile(r"^#SBATCH --job-name=(\S+)$", re.MULTILINE)

# A busy controller may keep sbatch waiting; one that does not answer for this long is down.
_SECONDS = 120

_STARTED = "no longer pending execution|already finished"

# What Slurm says where asking again may help.
_BUSY = re.compile(
    "Unable to contact slurm controller|Socket timed out|temporarily unable to accept job|Resource temporarily unavailable"
    "|Zero Bytes were transmitted|Connection (refused|reset|timed out)|(connect|Communication connection) failure|backup controller"
    "|Slurm (controller|database) .*(down|not respond)|Transport endpoint is not connected",
    re.IGNORECASE,
)
# What sbatch says when the user has as many jobs as the site allows.
_FULL = re.compile(r"MaxSubmit|job submit limit|MaxJobCount|violates accounting/QOS policy", re.IGNORECASE)


class Refused(UserError):
    """Slurm did not do what it was asked."""


class Busy(Refused):
    """Its controller is down or has too much to do: the same later may work. An sbatch that timed out may have been heard."""


class Full(Refused):
    """The user has as many jobs as the site allows."""


def submit(text: str, path: Path) -> str:
    """Write the script `text` to `path`, submit it and return the job's id. Raise Busy, Full or else Refused, with sbatch's own reason.

    It is called once and never again by itself: an sbatch that timed out may have been heard, which only the queue can tell.
    """
    _write(text, path)
    answer = _asked(["sbatch", "--parsable", str(path)], path)
    if answer.code:
        raise _refusal(path, answer)
    return _id(answer, text, path)


def _id(answer: Answer, text: str, path: Path) -> str:
    """Return the job's id in what sbatch, or a site's wrapper of it, wrote among its own lines. Raise Refused where that is not clear."""
    found: set[str] = {*_PLAIN.findall(answer.out), *_PLAIN.findall(answer.error)} or set(_PARSABLE.findall(answer.out))
    if len(found) > 1:
        # A line of a banner may be a number too: the job's name decides.
        name = (_NAME.findall(text) or [""])[0]
        found = {id for id in found if (shown := job(id, cluster=cluster_of(name))) is not None and shown.name == name}
    if len(found) != 1:
        words = " ".join((answer.out + answer.error).split()) or "nothing"
        raise Refused(
            f"sbatch took {path}, and which number the job has cannot be read in its answer ({words}): "
            "see `squeue --me`, and call Slurm's own sbatch instead of a wrapper."
        )
    return found.pop()


def test_only(text: str, path: Path) -> str:
    """Return Slurm's words on when and where it would start this script. Raise Refused with its reason where it would not."""
    _write(text, path)
    answer = _asked(["sbatch", "--test-only", str(path)], path)
    if answer.code:
        raise _refusal(path, answer)
    return answer.reason.removeprefix("sbatch: ") if answer.error else answer.out.strip()


# pytest would collect it wherever it is imported.
test_only.__test__ = False  # type: ignore[attr-defined]


def cancel(ids: Sequence[str], *, pending_only: bool = False, cluster: str | None = None) -> None:
    """Cancel jobs, arrays or tasks (`12`, `12_3`); those that have ended are passed over. Raise Refused where Slurm refuses."""
    if not ids:
        return
    answer = ask(["scancel", *(["--state=PENDING"] if pending_only else []), *ids], seconds=_SECONDS, cluster=cluster)
    if answer is None or (answer.code and not re.search("Invalid job id|already completed", answer.error)):
        kind = _kind(answer) if answer else Busy
        raise kind(f"Slurm did not cancel {', '.join(ids)}: {answer.reason if answer else 'scancel does not answer'}.")


def end_dependency(id: str, *, cluster: str | None = None) -> None:
    """Let a job start that waits for another; one that a person holds stays held. Raise Refused where Slurm refuses."""
    _scontrol(["update", f"JobId={id}", "Dependency="], f"let job {id} start", cluster)


def release(id: str, *, cluster: str | None = None) -> None:
    """Let a job start that is held; what has started is passed over. Raise Refused where Slurm refuses."""
    _scontrol(["release", id], f"release job {id}", cluster)


def _scontrol(arguments: Sequence[str], what: str, cluster: str | None) -> None:
    answer = ask(["scontrol", *arguments], seconds=_SECONDS, cluster=cluster)
    if answer is None or (answer.code and not re.search(_STARTED, answer.error)):
        kind = _kind(answer) if answer else (Busy if at_hand("scontrol") else Refused)
        raise kind(f"Slurm did not {what}: {answer.reason if answer else 'scontrol is missing or does not answer'}.")


def _write(text: str, path: Path) -> None:
    atomic_files.make_folder(path.parent)
    atomic_files.write_text(path, text)


def _asked(command: list[str], path: Path) -> Answer:
    answer = ask(command, seconds=_SECONDS)
    if answer is None and not at_hand("sbatch"):
        raise Refused(f"Slurm did not take {path}: sbatch is not installed here.")
    if answer is None:
        raise Busy(f"Slurm did not take {path}: sbatch has not answered for {_SECONDS} s; see `squeue --me` before trying again.")
    return answer


def _refusal(path: Path, answer: Answer) -> Refused:
    kind = _kind(answer)
    return kind(f"Slurm did not take {path}: {answer.reason}{'; the same command later goes on' if kind is Busy else ''}.")


def _kind(answer: Answer) -> type[Refused]:
    if _FULL.search(answer.error):
        return Full
    return Busy if _BUSY.search(answer.error) else Refused
