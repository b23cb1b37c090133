"""Run sealed trials in this process, each to its end or to the reason why not."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_exp.errors import UserError
from persona_exp.training.interruption import Interrupted, Interruption
from persona_exp.trial.attempt import HEARTBEAT_SECONDS, Attempt, claim
from persona_exp.trial.directory import Directory
from persona_exp.trial.environment import gpus, hardware, versions
from persona_exp.trial.noop import run_noop
from persona_exp.trial.outcome import FINISHED, INTERRUPTED, ended
from persona_exp.trial.output import LOG, kept
from persona_exp.trial.provenance import code
from persona_exp.trial.record import attempt_files, read_record
from persona_exp.trial.seal import finished, read_seal, read_seal_facts
from persona_exp.trial.verification import verify

if TYPE_CHECKING:
    from persona_exp.config.schema import Config
    from persona_exp.trial.member import Member

# By trial, the attempts that run no more, each with (cause, message).
Dead = Mapping[str, Mapping[int, tuple[str, str]]]


def run(
    seals: Sequence[Path],
    interruption: Interruption,
    *,
    dead: Dead | None = None,
    log: bool = False,
    micro_batch_size: int | None = None,
    together: int | None = None,
    row_tokens: int | None = None,
    held: Path | None = None,
) -> int:
    """Run the trials of these seals one after the other, neighbours on one base model together where their engine does that; the worst
    exit code of theirs.

    A trial that is finished or runs elsewhere is skipped, one that was interrupted goes on from its checkpoint. `dead` names, by trial,
    the attempts that somebody has watched long enough, and what ended each; with `log` all output goes to the attempts' own logs.
    After a lack of memory `micro_batch_size` takes the place of the sealed one, at most `together` train at once, in rows of at most
    `row_tokens`. Once there is a file `held`, no further trial is started.
    """
    worst = FINISHED

    def stopped() -> bool:
        return bool(interruption.requested) or bool(held and held.exists())

    for base, neighbours in groupby(seals, key=lambda path: _facts(path).get("base")):
        if base:
            if stopped():
                return max(worst, INTERRUPTED)
            worst = max(worst, _run_together(list(neighbours), interruption, stopped, dead or {}, log, together, row_tokens))
            continue
        for path in neighbours:
            if stopped():
                return max(worst, INTERRUPTED)
            worst = max(worst, _run_one(path, interruption, dead or {}, log, micro_batch_size))
    return worst


def _run_one(path: Path, interruption: Interruption, dead: Dead, log: bool, micro_batch_size: int | None) -> int:
    directory, facts = Directory(path.absolute().parents[1]), _facts(path)
    attempt = _claimed(path, directory, facts, dead, micro_batch_size)
    if attempt is None:
        return FINISHED
    with kept(attempt.folder / LOG, away=log):
        return _attempted(path, directory, facts, attempt, interruption, micro_batch_size)


def _run_together(
    paths: Sequence[Path],
    interruption: Interruption,
    stopped: Callable[[], bool],
    dead: Dead,
    log: bool,
    together: int | None,
    row_tokens: int | None,
) -> int:
    """Run as many as there are to be had as one bundle, each claimed when there is a place for it. All keep the bundle's output."""
    from persona_exp.trial.bundle import run_bundle

    codes = [FINISHED]
    with ExitStack() as output:
        members = _members(paths, interruption, stopped, dead, log, output, codes)
        first = next(members, None)
        if first:
            ran = run_bundle(first, members, interruption, together=together, row_tokens=row_tokens)
            codes += [member.code or FINISHED for member in ran]
    return max(codes)


def _members(
    paths: Sequence[Path],
    interruption: Interruption,
    stopped: Callable[[], bool],
    dead: Dead,
    log: bool,
    output: ExitStack,
    codes: list[int],
) -> Iterator["Member"]:
    """Claim one after the other, until `stopped`; `codes` gets those of trials that end before they are members."""
    from persona_exp.trial.member import Member

    kept_in: Path | None = None
    for number, path in enumerate(paths):
        if stopped():
            codes.append(INTERRUPTED)
            return
        directory = Directory(path.absolute().parents[1])
        try:
            # Those in front in the line may have taken days.
            attempt = None if directory.cancelled.exists() else _claimed(path, directory, _facts(path), dead)
        except (OSError, UserError) as error:
            # Its own trouble, while others ride: whoever comes next sees to it.
            print(f"error: trial {directory.trial_id} cannot be claimed now: {error}", file=sys.stderr, flush=True)
            codes.append(INTERRUPTED)
            continue
        if attempt is None:
            continue
        try:
            if kept_in is None:
                output.enter_context(kept(attempt.folder / LOG, away=log))
                kept_in = attempt.folder / LOG
            else:
                os.link(kept_in, attempt.folder / LOG)
            with interruption.at_once():
                verify(path)
                config = read_seal(path)[1]
                _describe(attempt, config)
        except (Interrupted, Exception) as error:
            codes.append(ended(directory, attempt, error))
            continue
        yield Member(number, config, directory, read_seal_facts(path)["data_id"], attempt)


def _claimed(path: Path, directory: Directory, facts: Mapping[str, Any], dead: Dead, micro_batch_size: int | None = None) -> Attempt | None:
    """The trial's next attempt; None where there is nothing left to do, or others do it."""
    if facts and _settled(path, directory):
        return None
    attempt = claim(
        directory.attempts,
        dead=dead.get(directory.trial_id, {}),
        heartbeat_seconds=facts.get("heartbeat_seconds", HEARTBEAT_SECONDS),
        unless=lambda: bool(facts) and _settled(path, directory),
        seal=path.name,
        config=facts.get("config"),
        code=facts.get("code"),
        **({"micro_batch_size": micro_batch_size} if micro_batch_size else {}),
    )
    if attempt is None:
        print(f"Trial {directory.trial_id} is done or runs elsewhere: skipped.", flush=True)
    return attempt


def _attempted(
    path: Path,
    directory: Directory,
    facts: Mapping[str, Any],
    attempt: Attempt,
    interruption: Interruption,
    micro_batch_size: int | None,
) -> int:
    """Run the trial in `attempt`, and say there how it ended; the exit code."""
    try:
        with interruption.at_once():
            verify(path)
        if facts["engine"] == "noop":
            run_noop(directory, attempt, interruption)
        else:
            _run_sealed(path, directory, attempt, interruption, micro_batch_size)
    except (Interrupted, Exception) as error:
        return ended(directory, attempt, error)
    return ended(directory, attempt)


def _run_sealed(path: Path, directory: Directory, attempt: Attempt, interruption: Interruption, micro_batch_size: int | None) -> None:
    from persona_exp.trial.stages import run_stages

    with interruption.at_once():
        attempt.progress("loading")
        config = read_seal(path)[1]
        _describe(attempt, config)
    run_stages(config, directory, read_seal_facts(path)["data_id"], attempt, interruption, micro_batch_size)


def _describe(attempt: Attempt, config: "Config") -> None:
    """Make the process ready for the trial, and note what computes it."""
    threads = _prepare_process(config.cluster.threads, attempt.folder, config.tracker.project)
    attempt.note(code=code()["digest"], versions=versions(), hardware=hardware(), threads=threads, gpus=gpus())


def _facts(path: Path) -> dict[str, Any]:
    """What the seal says; nothing where it cannot be read, which verifying it will say."""
    try:
        return read_seal_facts(path)
    except UserError:
        return {}


def _settled(path: Path, directory: Directory) -> bool:
    """Whether nothing is left to do or to say: a process may have been killed between its last result and its last word."""
    records = attempt_files(directory.path)
    return finished(path) and (not records or read_record(records[-1])["status"] in ("finished", "pruned"))


def _prepare_process(threads: int | None, folder: Path, project: str) -> int:
    """Set up what computes and tracks; the number of threads."""
    import torch

    if threads:
        torch.set_num_threads(threads)
    # Trackers write beside the attempt's own log, never into the working directory.
    os.environ["WANDB_DIR"] = os.environ["TENSORBOARD_LOGGING_DIR"] = str(folder.absolute())
    os.environ.setdefault("WANDB_PROJECT", project)
    return torch.get_num_threads()
