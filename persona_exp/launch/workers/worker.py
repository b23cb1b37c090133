"""One worker: runs its planned trials through a child, then whatever else of the sweep nobody has claimed, then leaves.

It imports no torch, and knows trials from their files alone.
"""

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any

from persona_exp.errors import UserError
from persona_exp.launch.judgement import hold
from persona_exp.launch.judgement.death import death
from persona_exp.launch.judgement.failed_nodes import note_failed_node
from persona_exp.launch.judgement.observer import Observer
from persona_exp.launch.judgement.retry import STOPS, Verdict, verdict
from persona_exp.launch.judgement.room import Room
from persona_exp.launch.sweeps.canary import Canary, call_off
from persona_exp.launch.workers.child import Child, Outcome
from persona_exp.launch.workers.departure import come_back_later
from persona_exp.launch.workers.ending import Word, attempt_of, close_dead, displaced, fail_if_last_straw
from persona_exp.launch.workers.saying import say
from persona_exp.launch.workers.work import Work, seal_name
from persona_exp.trial.attempt import job as this_job
from persona_exp.trial.directory import Directory
from persona_exp.trial.record import attempt_files, read_record

FINISHED, FAILED, INTERRUPTED = 0, 1, 75

# Workers that look for work at the same moment would all find the same trial first.
SPREAD = 32
POLL_SECONDS = 1.0
# How often a running trial is looked at: for a person's cancellation, and as long as it is the canary.
LOOK_SECONDS, CANARY_SECONDS = 5.0, 1.0
ASKED = tuple(-number for number in (signal.SIGUSR2, signal.SIGTERM, signal.SIGINT))

Batch = list[tuple[str, Verdict]]


class Worker:
    """One go through a sweep: `ended` says of each trial (by seal) that it has nothing to do with any more how that one ended."""

    def __init__(
        self, work: Work, child: Child, *, task: int = 0, canary: bool = False, announce: Callable[[str], None] | None = None
    ) -> None:
        """`task` is its planned one; `announce` is told each seal before it runs."""
        self.ended: dict[str, str] = {}
        self._work, self._child, self._task = work, child, task
        self._announce = announce or (lambda seal: say(f"Trial {seal.split('/')[0]}"))
        self._canary = Canary(work.submission, say) if canary and work.submission else None
        self._observer = Observer(work.lease_seconds, job=this_job())
        self._planned = work.tasks[task]
        self._others = (*work.tasks[task + 1 :], *work.tasks[:task])
        self._ran: set[str] = set()
        self._left = self._gone = self._cancelling = False
        self._suspicious = False
        self._failed = 0
        self._watch_until: float | None = None

    def run(self) -> int:
        """Run what there is to run; the exit code. It waits for nobody, except a lease at most for an attempt that seems dead."""
        while not self._leaving:
            if self._held():
                break
            batch = self._choose()
            if batch:
                self._watch_until = None
                self._try(batch)
            elif self._worth_watching():
                time.sleep(POLL_SECONDS)
            else:
                break
        return self._leave()

    @property
    def _leaving(self) -> bool:
        return self._left or self._child.signalled is not None

    def _held(self) -> bool:
        held = hold.read(self._work.sweep_folder) if self._work.sweep_folder else None
        if held:
            say(f"Nothing new is started: the sweep is held, {held['message']}")
        return held is not None

    def _choose(self) -> Batch:
        """Trials to run together next: planned ones, else those of another task that nobody has claimed."""
        self._suspicious = False
        planned = self._together(list(self._runnable(self._planned)))
        if planned or (self._canary and self._canary.jammed):
            return planned
        found = (batch for task in self._others if (batch := list(self._runnable(task))))
        *_, last = [[], *islice(found, self._task % SPREAD + 1)]
        return self._together(last)

    def _together(self, batch: Batch) -> Batch:
        """Those of the batch that can share a child with its first: one code, one micro-batch."""
        if not batch or batch[0][1].room.micro_batch_size:
            return batch[:1]
        code = self._work.code(batch[0][0])
        return [(seal, one) for seal, one in batch if self._work.code(seal) == code and not one.room.micro_batch_size]

    def _runnable(self, seals: Sequence[str]) -> Iterator[tuple[str, Verdict]]:
        for seal in seals:
            if seal in self.ended:
                continue
            found = self._verdict(seal)
            if found.next == "run" and self._legible(seal):
                yield seal, found
            elif found.next == "wait":
                self._suspicious |= found.suspicious
            else:
                self.ended[seal] = found.next
                if found.next == "failed":
                    self._say_so(seal, found)

    def _say_so(self, seal: str, found: Verdict) -> None:
        """Record a failure of which no attempt tells yet: nobody will claim the trial any more, so nobody else would say so."""
        if found.dead:
            self._bury(seal, max(found.dead), last_straw=True)
        elif found.cause in STOPS:
            fail_if_last_straw(self._work.directory(seal), seal_name(seal))

    def _verdict(self, seal: str) -> Verdict:
        try:
            return verdict(self._work.directory(seal), seal_name(seal), self._observer.judge)
        except UserError as error:
            say(f"error: {error}")
            return Verdict("failed", f"{error}")
        except OSError as error:
            # A file server that is away for a moment: neither a failure nor a reason to stay.
            say(f"error: trial {seal.split('/')[0]} cannot be looked at: {error}")
            return Verdict("wait", f"{error}")

    def _worth_watching(self) -> bool:
        if not self._suspicious:
            return False
        if self._watch_until is None:
            self._watch_until = time.monotonic() + self._work.lease_seconds + 2 * POLL_SECONDS
        return time.monotonic() < self._watch_until

    def _try(self, batch: Batch) -> None:
        """Run the batch in a child and settle what it leaves."""
        for seal, _ in batch:
            self._announce(seal)
        causes = {seal.split("/")[0]: (max(one.dead), *self._bury(seal, max(one.dead))) for seal, one in batch if one.dead}
        if any(cause == "out_of_memory" for _, cause, _ in causes.values()):
            # Written down, it makes for less at once.
            return
        self._cancelling, self._failed = False, 0
        self._child.copy_environment(self._work.environment_scratch)
        if self._leaving:
            return
        outcome = self._child.run(
            [self._work.path(seal) for seal, _ in batch],
            code=self._work.code(batch[0][0]),
            room=room_of(batch, self._work.together([seal for seal, _ in batch])),
            held=hold.place(self._work.sweep_folder.absolute()) if self._work.sweep_folder else None,
            dead={trial: f"{number}={cause}={message}" for trial, (number, cause, message) in causes.items()},
            watch=lambda: self._look(batch),
            every_seconds=CANARY_SECONDS if self._canary and not self._canary.over else LOOK_SECONDS,
        )
        self._settle(batch, outcome)

    def _look(self, batch: Batch) -> None:
        """While a child runs. What cannot be read now can be read when it has ended."""
        with suppress(OSError, UserError):
            directories = [self._work.directory(seal) for seal, _ in batch]
            if self._canary:
                self._canary.look(directories)
            self._hold_if_three_alike(directories)
            for directory in directories:
                if not self._cancelling and directory.cancelled.exists() and self._must_be_told(directory):
                    self._cancelling = True
                    say(f"Trial {directory.trial_id} was cancelled.")
                    self._child.terminate()

    def _must_be_told(self, directory: Directory) -> bool:
        """Whether a cancelled trial runs in the child by itself: one that rides with others looks at each step, and leaves alone."""
        found = attempt_of(directory, self._child.pid, self._child.started)
        return found is not None and found[1]["status"] == "running" and (found[1].get("together") or 1) == 1

    def _bury(self, seal: str, number: int, *, last_straw: bool = False) -> tuple[str, str]:
        """(cause, message) of a dead attempt: for its successor's record, for the nodes to stay away from, for the next micro-batch."""
        directory = self._work.directory(seal)
        path = attempt_files(directory.path)[-1]
        record = read_record(path)
        if int(record["attempt"]) != number or record["status"] != "running":
            return str(record.get("cause")), str(record.get("message"))
        cause, message, proven = death(record)
        say(f"Trial {directory.trial_id}: attempt {number} is dead: {message}.")
        if cause == "node_failed" and proven and self._work.sweep_folder:
            note_failed_node(self._work.sweep_folder, record)
        if cause == "out_of_memory" or last_straw:
            # Its end was seen, or matters no more: whoever wakes up is fenced all the same.
            close_dead(directory, seal_name(seal), path, cause, message)
        return cause, message

    def _settle(self, batch: Batch, outcome: Outcome) -> None:
        """Read what the child's trials came to, and give those their last word that could not speak it."""
        if outcome.code < 0 and not self._leaving:
            say(f"error: trial {batch[0][0].split('/')[0]} was killed by {outcome.how}.")
        word = Word(outcome, at_once=self._child.stopped_at_once, asked=self._child.signalled)
        own = [told for seal, _ in batch if (told := word.of(self._work.directory(seal), seal_name(seal))) is not None]
        self._ran.update(seal for seal, _ in batch)
        if not own and outcome.code not in (FINISHED, INTERRUPTED, *ASKED) and not self._leaving:
            own = self._never_began(batch[0][0], word)
        asked = outcome.code in ASKED or any(one.get("cause") == "signal" for one in own)
        self._gone = any(one.get("cause") == "superseded" for one in own) and any(
            displaced(self._work.directory(seal)) for seal, _ in batch
        )
        self._left |= self._gone or (asked and not self._cancelling)
        if not own and outcome.code in (FINISHED, INTERRUPTED):
            # It had nothing to do: done, or claimed by another in the same moment. What is open then is somebody else's.
            self.ended.update({seal: "elsewhere" for seal, _ in batch if self._verdict(seal).next == "run"})
        if self._canary:
            self._canary.look([self._work.directory(seal) for seal, _ in batch])
        self._after_failures([one for one in own if one["status"] == "failed"], batch)

    def _legible(self, seal: str) -> bool:
        try:
            self._work.code(seal)
        except UserError as error:
            say(f"error: {error}")
            self.ended[seal] = "failed"
            return False
        return True

    def _never_began(self, seal: str, word: Word) -> list[dict[str, Any]]:
        """A child that could not even claim its trial: recorded, lest it be started for ever."""
        try:
            record = word.never_began(self._work.directory(seal), seal_name(seal))
        except OSError as error:
            say(f"error: trial {seal.split('/')[0]} could not begin, nor can that be recorded: {error}")
            self.ended[seal] = "failed"
            return []
        return [record] if record else []

    def _after_failures(self, failed: Sequence[dict[str, Any]], batch: Batch) -> None:
        """A failed trial stops nothing else, unless it is the canary or the third alike."""
        if not failed:
            return
        for one in failed:
            if one.get("cause") in STOPS:
                # The child took it for an interruption like any other.
                say(f"error: {one.get('message')}.")
        for seal, _ in batch:
            if self._canary and self._verdict(seal).next == "failed":
                last = read_record(attempt_files(self._work.directory(seal).path)[-1])
                self._canary.fail(seal.split("/")[0], str(last.get("cause")), str(last.get("message")))
        self._hold()

    def _hold_if_three_alike(self, directories: Sequence[Directory]) -> None:
        """In a bundle trials fail while others ride on."""
        files = [found[-1] for directory in directories if (found := attempt_files(directory.path))]
        failed = sum(read_record(path)["status"] == "failed" for path in files)
        if failed > self._failed:
            self._failed = failed
            self._hold()

    def _hold(self) -> None:
        """Hold the sweep where three of its trials have failed alike."""
        submission = self._work.submission
        if submission is None or hold.read(submission.sweep_folder):
            return
        if hold.hold_if_three_alike(submission.sweep_folder, self._work.runs, self._work.trial_ids):
            call_off(submission, say)

    def _leave(self) -> int:
        concerned = dict.fromkeys([*self._planned, *sorted(self._ran)])
        found = {seal: self.ended.get(seal) or self._verdict(seal).next for seal in concerned}
        submission = self._work.submission
        held = bool(submission and hold.read(submission.sweep_folder))
        if self._leaving:
            open_still = [seal for seal, one in found.items() if one in ("run", "wait")]
            if submission and open_still and not held and not self._gone:
                how = come_back_later(submission, open_still)
                say(f"This job was {how}." if how else "What is left goes on when the command is given again.")
            # A trial of no sweep that has failed must not have its job put back.
            return FAILED if submission is None and not open_still and "failed" in found.values() else INTERRUPTED
        if "failed" in found.values() or (held and "run" in found.values()):
            return FAILED
        return FINISHED


def room_of(batch: Batch, together: int | None = None) -> Room:
    """What is left for all of a batch: the least of what each may take, and at most `together` at once."""
    rooms = [*(one.room for _, one in batch), Room(together=together)]
    least = [min((size for room in rooms if (size := getattr(room, name))), default=None) for name in ("together", "row_tokens")]
    return Room(rooms[0].micro_batch_size, *least)
