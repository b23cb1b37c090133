"""What becomes of a trial next, told from its attempts alone: run it, wait for whoever runs it, or leave it be.

What a cluster does to a trial (preemption, a time limit, a lost node) costs it nothing: it goes on, unless it is stopped again and again
without having saved anything new. Out of memory goes on with half of what it took, once per halving, where the seal allows it. An
exception fails at once and waits for a person.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from persona_exp import files
from persona_exp.launch.judgement.death import killed_here
from persona_exp.launch.judgement.room import AS_SEALED, Room, left, used
from persona_exp.trial.attempt import gone
from persona_exp.trial.directory import Directory
from persona_exp.trial.record import attempt_files, read_record
from persona_exp.trial.seal import finished, read_seal_facts

Next = Literal["run", "wait", "finished", "failed", "cancelled"]

# What ends an attempt whose time is over.
STOPS = frozenset({"signal", "time_limit", "preempted"})
# Faults of the site, not of the trial: whoever runs the command again means that they are seen to.
SITE_CAUSES = frozenset({"disk_full", "seal", "killed"}) | STOPS

# So often a trial may be killed outright without having saved anything new in between.
MOST_KILLS = 3
# So often its time may be over before it has saved anything new: more of the same would bring nothing.
MOST_STOPS = 10


@dataclass(frozen=True)
class Verdict:
    """What to do with a trial, and why.

    `room` is what it may take of the memory; `dead` are the attempts that say they run and do not; `suspicious`: the attempt waited for
    could not be told from a dead one yet; `cause` is that of a failure.
    """

    next: Next
    why: str
    room: Room = AS_SEALED
    dead: tuple[int, ...] = ()
    suspicious: bool = False
    cause: str | None = None


def verdict(directory: Directory, seal_name: str, judge: Callable[[dict[str, Any]], str]) -> Verdict:
    """What comes next for the trial sealed as `seal_name`; `judge` says of a running attempt's record alive, dead or unknown.

    Raises UserError where a record is damaged.
    """
    found = attempt_files(directory.path)
    if not found:
        return _cancelled(directory) or Verdict("run", "it has not been tried yet")
    number, last = int(found[-1].stem), read_record(found[-1])
    if last["status"] == "running":
        judged = judge({**last, "trial_id": directory.trial_id})
        if judged != "dead":
            return Verdict("wait", f"attempt {number} runs on {last['host']}", suspicious=judged == "unknown")
        if not last.get("cause") and killed_here(last):
            last = {**last, "cause": "killed"}
    if last["status"] in ("finished", "pruned") and _serves(directory, last, seal_name):
        return Verdict("finished", f"attempt {number} {last['status']}")
    cancelled = _cancelled(directory)
    if cancelled:
        return cancelled
    dead = (number,) if last["status"] == "running" else ()
    return _again(directory, seal_name, _told([*(read_record(path) for path in found[:-1]), last]), number, dead)


def after_death(directory: Directory, seal_name: str, cause: str) -> Verdict:
    """What comes next where the last attempt was interrupted by `cause`: failed where it is the last straw."""
    found = attempt_files(directory.path)
    records = [read_record(path) for path in found]
    last = {**records[-1], "status": "interrupted", "cause": cause}
    return _again(directory, seal_name, _told([*records[:-1], last]), int(found[-1].stem), ())


def hopeless(directory: Directory, record: Mapping[str, Any]) -> bool:
    """Whether the trial whose last attempt this is has failed for good, and does not go on with a smaller micro-batch."""
    if record.get("status") != "failed" or not record.get("seal"):
        return record.get("status") == "failed"
    return verdict(directory, str(record["seal"]), lambda _: "unknown").next == "failed"


def allow(directory: Directory) -> bool:
    """Let the trial be tried again after its last attempt; False where it has none or was allowed already."""
    found = attempt_files(directory.path)
    return bool(found) and files.create_text(directory.path / "retries" / f"{int(found[-1].stem):04}", "")


def take_back(directories: Sequence[Directory]) -> int:
    """Take back what was cancelled of these trials; how many were. For a person who asks for them again: keeper and workers never do."""
    cancelled = [one for one in directories if one.cancelled.exists()]
    for one in cancelled:
        one.cancelled.unlink(missing_ok=True)
    return len(cancelled)


def allow_after_site_faults(directories: Sequence[Directory], seal_names: Sequence[str]) -> list[str]:
    """The ids of those trials that failed for what their site did, each allowed another try: for a person who runs the command again."""
    allowed = []
    for directory, seal_name in zip(directories, seal_names, strict=True):
        found = verdict(directory, seal_name, lambda record: "dead" if gone(record) else "unknown")
        if found.next == "failed" and found.cause in SITE_CAUSES and allow(directory):
            allowed.append(directory.trial_id)
    return allowed


def _again(directory: Directory, seal_name: str, records: Sequence[dict[str, Any]], number: int, dead: tuple[int, ...]) -> Verdict:
    """Of a trial that neither runs nor is finished nor was cancelled: what the attempts at this very seal say."""
    allowed = _allowed(directory)
    own = [one for one in records if one.get("seal") in (None, seal_name) and int(one["attempt"]) > allowed]
    if not own:
        why = f"another try was allowed after attempt {allowed}" if allowed else f"it was sealed anew after attempt {number}"
        return Verdict("run", why, dead=dead)
    last, room = own[-1], _room(directory, seal_name, own)

    def failed(why: str, cause: str | None) -> Verdict:
        return Verdict("failed", why, dead=dead, cause=cause)

    if last.get("cause") == "out_of_memory" and _evaluating(last):
        return failed(f"attempt {last['attempt']} ran out of memory in its evaluation: set evaluation.batch_size lower", "out_of_memory")
    if last.get("cause") == "out_of_memory":
        had = used(last).text()
        told = f"attempt {last['attempt']} ran out of memory{f' with {had}' if had else ''}"
        return Verdict("run", told, room, dead) if room and room.smaller else failed(told, "out_of_memory")
    if last["status"] == "failed":
        return failed(f"attempt {last['attempt']} failed: {last.get('cause')}", last.get("cause"))
    kills = _kills(own)
    if kills >= MOST_KILLS:
        return failed(f"it was killed {kills} times without a newer checkpoint in between", "killed")
    stops = _stops(own)
    if len(stops) >= MOST_STOPS:
        how = f"it was stopped {len(stops)} times ({', '.join(sorted(set(stops)))}) without a newer checkpoint in between"
        return failed(f"{how}: give it a longer hydra.launcher.timeout_min or a smaller train.checkpoint_minutes", stops[-1])
    why = last.get("cause") or "it ended without a last word"
    return Verdict("run", f"attempt {last['attempt']} was interrupted: {why}", room or AS_SEALED, dead)


def _room(directory: Directory, seal_name: str, own: Sequence[Mapping[str, Any]]) -> Room | None:
    """What the attempts so far leave to try; None: nothing."""
    short = [one for one in own if one.get("cause") == "out_of_memory" and not _evaluating(one)]
    return left(short) if not short or _may_halve(directory.path / "seals" / seal_name) else None


def _evaluating(record: Mapping[str, Any]) -> bool:
    """Whether the attempt had come to its evaluation, and shared it with no other: the sizes of the training have no part in that."""
    return bool((record.get("progress") or {}).get("phase") == "evaluating") and (record.get("together") or 1) == 1


def _kills(own: Sequence[Mapping[str, Any]]) -> int:
    """How often the trial was killed since it last saved something new. Interruptions of other kinds neither count nor absolve."""
    return sum(one.get("cause") == "killed" for one in _since_saved(own))


def _stops(own: Sequence[Mapping[str, Any]]) -> list[str]:
    """What stopped the trial since it last saved something new, in order. Interruptions of other kinds neither count nor absolve."""
    return [str(one["cause"]) for one in _since_saved(own) if one.get("cause") in STOPS]


def _since_saved(own: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """The attempts after the one that first saved the newest checkpoint, or the adapter: that one had got somewhere."""
    saved = [(bool(one.get("checkpoints_cleared")), int(one.get("checkpoint_step") or 0)) for one in own]
    newest = max(saved)
    return own[saved.index(newest) + 1 :] if any(newest) else own


def _told(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The records, each that has no last word of its own with the cause that its successor's worker found."""
    found = [(after.get("previous") or {}).get("cause") for after in records[1:]] + [None]
    return [{**one, "cause": one.get("cause") or cause} for one, cause in zip(records, found, strict=True)]


def _allowed(directory: Directory) -> int:
    """The last attempt after which a person said "again", 0 for none."""
    try:
        return max((int(path.name) for path in (directory.path / "retries").iterdir() if path.name.isdigit()), default=0)
    except FileNotFoundError:
        return 0


def _may_halve(seal: Path) -> bool:
    return bool(read_seal_facts(seal).get("may", {}).get("halve_micro_batch"))


def _cancelled(directory: Directory) -> Verdict | None:
    return Verdict("cancelled", "a person cancelled it") if (directory.path / "cancel.json").exists() else None


def _serves(directory: Directory, last: Mapping[str, Any], seal_name: str) -> bool:
    """Whether what an attempt finished is what this seal asks for: another seal may owe another evaluation of the same trial."""
    if last.get("seal") in (None, seal_name):
        return True
    return finished(directory.path / "seals" / seal_name)
