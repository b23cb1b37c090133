"""Trials that travel together: trained on one base model and measured together, each published and ended as if it had run alone."""

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from persona_exp import files
from persona_exp.training.interruption import Interrupted, Interruption
from persona_exp.trial import stages
from persona_exp.trial.account import Meter
from persona_exp.trial.member import Member
from persona_exp.trial.resume import common_tick
from persona_exp.trial.shared_base import load_shared

if TYPE_CHECKING:
    from persona_exp.evaluation.subject import Settings, Subject

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
    members = [first]
    try:
        first.attempt.progress("loading")
        with interruption.at_once():
            bundle = Bundle(first, _listed(others, members), interruption, at_once, row)
        bundle.run()
    except (Interrupted, Exception) as error:
        for member in members:
            member.end(error)
    for member in members:
        member.end()
    return members


def _listed(others: Iterator[Member], members: list[Member]) -> Iterator[Member]:
    for member in others:
        members.append(member)
        yield member


class Bundle:
    """A base model, those who ride on it, those who wait for a place (`others`, in their order), and those to be measured."""

    def __init__(self, first: Member, others: Iterator[Member], interruption: Interruption, at_once: int, row_tokens: int) -> None:
        from persona_exp.modeling.bundle.shared import Shared

        self._since, self._trained_for = time.monotonic(), 0.0
        self._grow = first.config.bundle.row_tokens is None and row_tokens == ROW_TOKENS
        self._interruption, self._at_once, self._row_tokens = interruption, at_once, row_tokens
        self._model_folder = stages.fetch_model(first.config)
        twice = first.config.train.gradient_checkpointing
        model, self._dequantised = load_shared(first.config, self._model_folder, at_once=at_once, row_tokens=row_tokens)
        self._shared = Shared(model, recompute=twice is True)
        self._may_recompute = twice is not False
        self._meter = Meter(self._shared.model, (first.attempt.record.get("hardware") or {}).get("gpu"))
        self._others = others
        self._put_back = [first]
        self._aboard: list[Member] = []
        self._name = ""

    def run(self) -> None:
        """Train until nobody is left, and measure all."""
        from persona_exp.training.fused.train import train

        riders, ticks = self._start()
        train(
            self._shared,
            riders,
            self,
            ticks=ticks,
            at_once=self._at_once,
            row_tokens=self._row_tokens,
            grow=self._grow,
            may_recompute=self._may_recompute,
            interruption=self._interruption,
        )
        self._measure()

    def board(self, riding: Sequence[Any], places: int, ticks: int) -> list[Member]:
        """Who takes the places that are free after so many ticks. A full house of trained ones is measured first."""
        self._share_time()
        boarded = self._ready(places)
        if len(self._trained()) >= self._at_once:
            self._measure()
        with self._interruption.at_once():
            boarded = [member for member in boarded if member.do(member.resume) and member.do(member.board, self._name)]
            boarded = [member for member in boarded if member.do(member.save, ticks)]
        self._introduce([*riding, *boarded])
        return boarded

    def put_back(self, riders: Sequence[Any]) -> None:
        """These wait, the first in line."""
        self._put_back += riders

    def _start(self) -> tuple[list[Member], int]:
        """Those who ride first, where they were, and how many ticks lie behind them."""
        riders = self._ready(self._at_once)
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

    def _ready(self, places: int) -> list[Member]:
        """The next in line that have something to train, so many at most; the others on the way there await their measurement."""
        found: list[Member] = []
        while len(found) < places:
            member = self._put_back.pop(0) if self._put_back else next(self._others, None)
            if member is None:
                break
            if member not in self._aboard:
                self._aboard.append(member)
            with self._interruption.at_once():
                if member.trains and member.do(member.prepare, self._shared.model, self._model_folder, self._meter):
                    found.append(member)
        return found

    def _share_time(self) -> None:
        """Add what has gone by, less what steps took, to all who are aboard, in equal parts."""
        now, trained_for = time.monotonic(), sum(member.account.seconds for member in self._aboard if member.account)
        around = max(0.0, now - self._since - (trained_for - self._trained_for))
        aboard = [member for member in self._aboard if member.code is None]
        for member in aboard:
            member.seconds_around += around / len(aboard)
        self._since, self._trained_for = now, trained_for

    def _introduce(self, riding: Sequence[Member]) -> None:
        for member in riding:
            member.do(member.travel, riding, self._row_tokens, self._dequantised)

    def _trained(self) -> list[Member]:
        return [member for member in self._aboard if member.code is None and not member.trains]

    def _measure(self) -> None:
        """Evaluate what has been trained, together where it is measured in the same way; each has ended then."""
        trained = self._trained()
        alike: dict[tuple[Any, ...], list[tuple[Member, Subject]]] = {}
        with self._interruption.at_once():
            for member in trained:
                for one in stages.missing_evaluations(member.config, member.directory, member.data_id):
                    member.do(self._ask, member, one, alike)
            for (template, settings), asked in alike.items():
                self._evaluate(template, settings, asked)
        self._share_time()
        for member in trained:
            self._shared.leave(member.number)
            member.end()

    def _ask(self, member: Member, one: stages.Owed, alike: "dict[tuple[Any, ...], list[tuple[Member, Subject]]]") -> None:
        key = (member.config.model.chat_template, stages.evaluation_settings(member.config))
        alike.setdefault(key, []).append((member, member.speak(self._shared, one)))

    def _evaluate(self, template: str | None, settings: "Settings", asked: "Sequence[tuple[Member, Subject]]") -> None:
        """Measure and publish. What goes wrong with several is looked for in each half, for want of memory too."""
        from persona_exp.evaluation.evaluate import evaluate
        from persona_exp.modeling.base import load_tokenizer

        tokenizer = load_tokenizer(self._model_folder, template)
        try:
            evaluate(self._shared.model, tokenizer, [subject for _, subject in asked], settings, self._shared.speaking)
        except Exception as error:
            if len(asked) == 1:
                asked[0][0].end(error)
                return
            print(f"Evaluating {len(asked)} together went wrong ({error}): in two halves now.", flush=True)
        else:
            for member, subject in asked:
                member.do(member.attempt.publish, subject.destination, member.directory.evaluations / subject.eval_id)
            return
        half = len(asked) // 2
        self._evaluate(template, settings, asked[:half])
        self._evaluate(template, settings, asked[half:])
