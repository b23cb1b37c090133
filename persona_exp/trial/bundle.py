"""Trials that travel together: trained on one base model and measured together, each published and ended as if it had run alone."""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from typing import Any

from persona_exp import files
from persona_exp.training.interruption import Interrupted, Interruption
from persona_exp.training.out_of_memory import out_of_memory
from persona_exp.trial import stages
from persona_exp.trial.account import Meter
from persona_exp.trial.measurement import measure
from persona_exp.trial.member import Member
from persona_exp.trial.resume import common_tick
from persona_exp.trial.shared_base import load_shared

# Tokens that go through the model at once. A longer row is no faster on a CPU.
ROW_TOKENS = 2048


def run_bundle(
    first: Member, others: Iterator[Member], interruption: Interruption, *, together: int | None = None, row_tokens: int | None = None
) -> list[Member]:
    """Train and evaluate `first` and all who follow, which share a base model; each has ended when this returns them.

    At most bundle.size train at once, in their order; the next takes the place of who leaves. `together` and `row_tokens` bound what the
    first's config asks for, after a lack of memory. An error that is nobody's own is that of all who are aboard.
    """
    at_once = min(first.config.bundle.size, together or first.config.bundle.size)
    row = min(filter(None, (first.config.bundle.row_tokens or ROW_TOKENS, row_tokens)))
    bundle = Bundle(first, others, interruption, at_once, row)
    try:
        bundle.run()
    except (Interrupted, Exception) as error:
        bundle.share_time()
        with ExitStack() as ends:
            # Each is told, also when another cannot be.
            for member in bundle.members:
                ends.callback(member.end, error)
    for member in bundle.members:
        # None is; but "finished" is not said of who may not be.
        member.end(RuntimeError("it was left behind in its bundle"))
    return bundle.members


class Bundle:
    """A base model, those who ride on it (`members` are all who ever did), and those who wait for a place (`others`, in their order)."""

    def __init__(self, first: Member, others: Iterator[Member], interruption: Interruption, at_once: int, row_tokens: int) -> None:
        self.members = [first]
        self._others = others
        self._put_back = [first]
        self._interruption, self._at_once, self._row_tokens = interruption, at_once, row_tokens
        self._grow = first.config.bundle.row_tokens is None and row_tokens == ROW_TOKENS
        self._everybody = False
        self._name = ""
        self._since, self._trained_for = time.monotonic(), 0.0

    def run(self) -> None:
        """Train and measure until nobody is left."""
        from persona_exp.modeling.bundle.shared import Shared
        from persona_exp.training.fused.probe import rows_that_fit
        from persona_exp.training.fused.train import train

        first = self.members[0]
        first.attempt.progress("loading")
        twice = first.config.train.gradient_checkpointing
        with self._interruption.at_once():
            self._model_folder = stages.fetch_model(first.config)
            model, self._dequantised = load_shared(first.config, self._model_folder, at_once=self._at_once, row_tokens=self._row_tokens)
        self._shared = Shared(model, recompute=twice is True)
        self._meter = Meter(model, (first.attempt.record.get("hardware") or {}).get("gpu"))
        while self._put_back or not self._everybody:
            riders, ticks = self._start()
            if self._grow and riders:
                with self._interruption.at_once(), self._meter.aside():
                    self._row_tokens, self._meter.probe = rows_that_fit(self._shared, [one.lane for one in riders], self._row_tokens)
                self._grow = False
            train(
                self._shared,
                riders,
                self,
                ticks=ticks,
                at_once=self._at_once,
                row_tokens=self._row_tokens,
                may_yield=first.config.train.halve_on_oom,
                may_recompute=twice is not False,
                interruption=self._interruption,
            )
            self._measure()

    def board(self, riding: Sequence[Any], places: int, ticks: int) -> list[Member]:
        """Who takes the places that are free after so many ticks. A full house of trained ones is measured first."""
        self.share_time()
        boarded: list[Member] = []
        with self._meter.aside():
            while len(boarded) < places and (ready := self._fill([*riding, *boarded], places - len(boarded))):
                with self._interruption.at_once():
                    ready = [member for member in ready if member.do(member.resume) and member.do(member.board, self._name)]
                    boarded += [member for member in ready if member.do(member.save, ticks)]
            if len(self._trained()) >= self._at_once:
                self._measure()
        self._introduce([*riding, *boarded])
        return boarded

    def put_back(self, riders: Sequence[Any]) -> None:
        """These wait, the first in line."""
        self._put_back = [*riders, *self._put_back]

    def share_time(self) -> None:
        """Add what has gone by, less what steps and looks took, to all who are aboard, in equal parts."""
        now, trained_for = time.monotonic(), sum(member.account.spent for member in self.members if member.account)
        around = max(0.0, now - self._since - (trained_for - self._trained_for))
        aboard = [member for member in self.members if member.code is None]
        for member in aboard:
            member.seconds_around += around / len(aboard)
        self._since, self._trained_for = now, trained_for

    def _start(self) -> tuple[list[Member], int]:
        """Those who ride first, where they were, and how many ticks lie behind them."""
        riders = self._fill([], self._at_once)
        tick = common_tick([member.directory for member in riders])
        with self._interruption.at_once():
            riders = [member for member in riders if member.do(member.resume, tick)]
            names = [[member.directory.trial_id, member.attempt.number] for member in riders]
            self._name = tick.bundle if tick else files.digest(names)[:8]
            riders = [member for member in riders if member.do(member.board, self._name)]
            if not tick and any(member.lane.step for member in riders):
                # Strangers so far: killed, they shall meet here again.
                riders = [member for member in riders if member.do(member.save, 0)]
        if len(riders) > 1:
            print(f"{len(riders)} trials are trained together on one base model.", flush=True)
        self._introduce(riders)
        return riders, tick.number if tick else 0

    def _fill(self, riding: Sequence[Member], places: int) -> list[Member]:
        """The next in line that have something to train, ready to board, so many at most. Others on the way there await their measurement,
        which a full house of them gets at once."""
        found: list[Member] = []
        while len(found) < places and (member := self._next()):
            if not member.trains:
                if len(self._trained()) >= self._at_once:
                    self._measure()
                continue
            try:
                with self._interruption.at_once():
                    member.prepare(self._shared.model, self._model_folder, self._meter)
            except Exception as error:
                if out_of_memory(error) and (found or riding):
                    self._put_back.insert(0, member)
                    break
                member.end(error)
            else:
                found.append(member)
        return found

    def _next(self) -> Member | None:
        if self._put_back:
            return self._put_back.pop(0)
        member = next(self._others, None)
        self._everybody = member is None
        if member is not None:
            self.members.append(member)
        return member

    def _introduce(self, riding: Sequence[Member]) -> None:
        for member in riding:
            # What cannot be written now is written with the next heartbeat.
            with suppress(OSError):
                member.travel(riding, self._dequantised)

    def _trained(self) -> list[Member]:
        return [member for member in self.members if member.code is None and not member.trains]

    def _measure(self) -> None:
        """Evaluate what has been trained; each has ended then."""
        trained = self._trained()
        with self._interruption.at_once(), self._meter.aside():
            measure(trained, self._shared, self._model_folder)
        self.share_time()
        for member in trained:
            member.end()
