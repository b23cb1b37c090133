"""The decision what becomes of a trial next, from its attempts alone: run it, wait for the process that runs it, or leave it.

What a cluster does to a trial (preemption, a time limit, a lost node) costs it nothing: it goes on, unless it is stopped again and again
without having saved anything new. Out of memory goes on with half of what it took, once per halving, where the seal allows it. An
exception fails at once and waits for a person.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from persona_exp import atomic_files
from persona_exp.damaged_records import Damaged, record_bytes
from persona_exp.launch.recovery.failure_cause import killed_here
from persona_exp.launch.recovery.memory_backoff import AS_SEALED, MemoryLimits, limits_of, next_limits
from persona_exp.trial.attempt_claim_and_heartbeat import attempt_gone
from persona_exp.trial.attempt_records import DAMAGED, PRUNED, attempt_files, ended_by_search, read_record
from persona_exp.trial.lost_attempts import attempts_lost
from persona_exp.trial.seal_facts import all_published, read_seal_facts
from persona_exp.trial.trial_directory import TrialDirectory
from persona_exp.trial.trial_status import stopped_as

Next = Literal["run", "wait", "finished", "pruned", "paused", "failed", "cancelled"]

# What ends an attempt whose time is over.
STOPS = frozenset({"signal", "time_limit", "preempted"})
# Faults of the site, not of the trial: a person who runs the command again means that they are seen to.
SITE_CAUSES = frozenset({"disk_full", "no_gpu", "seal", "killed"}) | STOPS

# So often a trial may be killed outright without having saved anything new in between.
MOST_KILLS = 3
# So often its time may be over before it has saved anything new: more of the same would bring nothing.
MAX_STOPS = 10


@dataclass(frozen=True)
class Decision:
    """What to do with a trial, and why.

    `limits` are those of its memory; `dead` are the attempts recorded as running that do not; `suspicious`: the attempt waited for may
    be dead; `cause` is that of a failure.
    """

    next: Next
    why: str
    limits: MemoryLimits = AS_SEALED
    dead: tuple[int, ...] = ()
    suspicious: bool = False
    cause: str | None = None


def decide(directory: TrialDirectory, seal_name: str, liveness: Callable[[dict[str, Any]], str], search: str | None = None) -> Decision:
    """Return what comes next for the trial sealed as `seal_name`; `liveness` of a running attempt's record is alive, dead or unknown.

    What was pruned or paused by `search`, the name of the one that asks, is left alone; for all others it was interrupted. Where a
    damaged seal would decide, it has failed of that, with the sentence: the sweep's other trials go on.
    """
    try:
        found = _decide(directory, seal_name, liveness, search)
        if found.next == "run":
            _check_seal(directory.path / "seals" / seal_name)
        return found
    except Damaged as error:
        return Decision("failed", str(error), cause=DAMAGED)


def _decide(directory: TrialDirectory, seal_name: str, liveness: Callable[[dict[str, Any]], str], search: str | None) -> Decision:
    found = attempt_files(directory.path)
    if not found and (lost := attempts_lost(directory.path)):
        return _decide_damaged(directory, seal_name, lost)
    if not found:
        return _cancelled(directory) or Decision("run", "it has not been tried yet")
    number, last = int(found[-1].stem), read_record(found[-1])
    if last["status"] == DAMAGED:
        return _decide_damaged(directory, seal_name, str(last["message"]))
    if last["status"] == "running":
        state = liveness({**last, "trial_id": directory.trial_id})
        if state != "dead":
            return Decision("wait", f"attempt {number} runs on {last['host']}", suspicious=state == "unknown")
        if not last.get("cause") and killed_here(last):
            last = {**last, "cause": "killed"}
    if last["status"] in ("finished", "pruned") and _is_what_the_seal_asks(directory, last, seal_name):
        return Decision("finished", f"attempt {number} {last['status']}")
    cancelled = _cancelled(directory)
    if cancelled:
        return cancelled
    if search and ended_by_search(last, search):
        why = f"attempt {number} was {last['cause']}: {last['message']}"
        return Decision("pruned", why) if last["cause"] == PRUNED else Decision("paused", why)
    dead = (number,) if last["status"] == "running" else ()
    return _decide_from_attempts(
        directory, seal_name, _with_found_causes([*(read_record(path) for path in found[:-1]), last]), number, dead
    )


def _check_seal(path: Path) -> None:
    """Raise Damaged where the seal is: every job that got it would leave it to the next. A file server that is away raises OSError."""
    try:
        read_seal_facts(path)
    except Damaged:
        with suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
            record_bytes(path)
        raise


def _decide_damaged(directory: TrialDirectory, seal_name: str, message: str) -> Decision:
    """What is published is a finished trial, whatever became of its record; else a person's command mends it."""
    if all_published(directory.path / "seals" / seal_name):
        return Decision("finished", "all that is asked of it is published")
    return _cancelled(directory) or Decision("failed", message, cause=DAMAGED)


def decide_after_death(directory: TrialDirectory, seal_name: str, cause: str) -> Decision:
    """Return what comes next where the last attempt was interrupted by `cause`: failed where that was once too often."""
    found = attempt_files(directory.path)
    records = [read_record(path) for path in found]
    last = {**records[-1], "status": "interrupted", "cause": cause}
    try:
        return _decide_from_attempts(directory, seal_name, _with_found_causes([*records[:-1], last]), int(found[-1].stem), ())
    except Damaged as error:
        return Decision("failed", str(error), cause=DAMAGED)


def failed_for_good(directory: TrialDirectory, record: Mapping[str, Any]) -> bool:
    """Return whether the trial whose last attempt this is has failed for good, and does not go on with a smaller micro-batch."""
    if record.get("status") != "failed" or not record.get("seal"):
        return record.get("status") == "failed"
    return decide(directory, str(record["seal"]), lambda _: "unknown").next == "failed"


def allow_retry(directory: TrialDirectory) -> bool:
    """Let the trial be tried again after its last attempt; return False where it has none or was allowed already."""
    found = attempt_files(directory.path)
    return bool(found) and atomic_files.create_text(directory.path / "retries" / f"{int(found[-1].stem):04}", "")


def undo_cancellations(directories: Sequence[TrialDirectory]) -> int:
    """Take back what was cancelled of these trials, not what was stopped; return how many were.

    For a person who asks again: keeper and workers never do.
    """
    cancelled = [one for one in directories if one.cancelled.exists() and stopped_as(one.path) is None]
    for one in cancelled:
        one.cancelled.unlink(missing_ok=True)
    return len(cancelled)


def allow_after_site_faults(directories: Sequence[TrialDirectory], seal_names: Sequence[str]) -> list[str]:
    """Allow another try to trials that failed for what their site did, and return their ids: for a person who runs the command again."""
    allowed = []
    for directory, seal_name in zip(directories, seal_names, strict=True):
        found = decide(directory, seal_name, lambda record: "dead" if attempt_gone(record) else "unknown")
        if found.next == "failed" and found.cause in SITE_CAUSES and allow_retry(directory):
            allowed.append(directory.trial_id)
    return allowed


def _decide_from_attempts(
    directory: TrialDirectory, seal_name: str, records: Sequence[dict[str, Any]], number: int, dead: tuple[int, ...]
) -> Decision:
    """Decide for a trial that neither runs nor is finished nor was cancelled, from the attempts at this very seal."""
    allowed = _allowed(directory)
    own = [one for one in records if one.get("seal") in (None, seal_name) and int(one["attempt"]) > allowed]
    if not own:
        why = f"another try was allowed after attempt {allowed}" if allowed else f"it was sealed anew after attempt {number}"
        return Decision("run", why, dead=dead)
    last, limits = own[-1], _limits(directory, seal_name, own)

    def failed(why: str, cause: str | None) -> Decision:
        return Decision("failed", why, dead=dead, cause=cause)

    if last.get("cause") == "out_of_memory" and _evaluating(last):
        lower = "evaluation.max_length" if (last.get("hardware") or {}).get("gpu") else "evaluation.batch_size"
        return failed(f"attempt {last['attempt']} ran out of memory in its evaluation: set {lower} lower", "out_of_memory")
    if last.get("cause") == "out_of_memory":
        had = limits_of(last).text()
        why = f"attempt {last['attempt']} ran out of memory{f' with {had}' if had else ''}"
        return Decision("run", why, limits, dead) if limits and limits.smaller else failed(why, "out_of_memory")
    if last["status"] == "failed":
        return failed(f"attempt {last['attempt']} failed: {last.get('cause')}", last.get("cause"))
    kills = _kills(own)
    if kills >= MOST_KILLS:
        return failed(f"it was killed {kills} times without a newer checkpoint in between", "killed")
    stops = _stops(own)
    if len(stops) >= MAX_STOPS:
        how = f"it was stopped {len(stops)} times ({', '.join(sorted(set(stops)))}) without a newer checkpoint in between"
        return failed(f"{how}: give it a longer hydra.launcher.timeout_min or a smaller train.checkpoint_minutes", stops[-1])
    why = last.get("cause") or "it ended without a last word"
    return Decision("run", f"attempt {last['attempt']} was interrupted: {why}", limits or AS_SEALED, dead)


def _limits(directory: TrialDirectory, seal_name: str, own: Sequence[Mapping[str, Any]]) -> MemoryLimits | None:
    """Return the memory limits to try after these attempts; None where none are left."""
    short = [one for one in own if one.get("cause") == "out_of_memory" and not _evaluating(one)]
    return next_limits(short) if not short or _may_halve(directory.path / "seals" / seal_name) else None


def _evaluating(record: Mapping[str, Any]) -> bool:
    """Return whether the attempt was in its evaluation, which it shared with no other: the sizes of training have no part in that."""
    return bool((record.get("progress") or {}).get("phase") == "evaluating") and (record.get("together") or 1) == 1


def _kills(own: Sequence[Mapping[str, Any]]) -> int:
    """Return how often the trial was killed since it last saved something new. Interruptions of other kinds neither count nor absolve."""
    return sum(one.get("cause") == "killed" for one in _since_saved(own))


def _stops(own: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what stopped the trial since it last saved something new, in order. Interruptions of other kinds neither count nor absolve."""
    return [str(one["cause"]) for one in _since_saved(own) if one.get("cause") in STOPS]


def _since_saved(own: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """Return the attempts after the one that first saved the newest checkpoint, or the adapter: that one had got somewhere."""
    saved = [(bool(one.get("checkpoints_cleared")), int(one.get("checkpoint_step") or 0)) for one in own]
    newest = max(saved)
    return own[saved.index(newest) + 1 :] if any(newest) else own


def _with_found_causes(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the records, each without a cause of its own with the one that its successor's worker found."""
    found = [(after.get("previous") or {}).get("cause") for after in records[1:]] + [None]
    return [{**one, "cause": one.get("cause") or cause} for one, cause in zip(records, found, strict=True)]


def _allowed(directory: TrialDirectory) -> int:
    """Return the last attempt after which a person allowed another try, 0 for none."""
    try:
        return max((int(path.name) for path in (directory.path / "retries").iterdir() if path.name.isdigit()), default=0)
    except FileNotFoundError:
        return 0


def _may_halve(seal: Path) -> bool:
    return bool(read_seal_facts(seal).get("may", {}).get("halve_micro_batch"))


def _cancelled(directory: TrialDirectory) -> Decision | None:
    return Decision("cancelled", "a person cancelled it") if (directory.path / "cancel.json").exists() else None


def _is_what_the_seal_asks(directory: TrialDirectory, last: Mapping[str, Any], seal_name: str) -> bool:
    """Return whether what an attempt finished is what this seal asks for: another seal may owe another evaluation of the same trial."""
    if last.get("seal") in (None, seal_name):
        return True
    return all_published(directory.path / "seals" / seal_name)
