"""A bundle on its way: who leaves makes room for who waits, and a lack of memory lets some wait."""

import time
from dataclasses import replace

import pytest
import torch

from persona_exp.modeling.bundle.product import add_slices
from persona_exp.modeling.bundle.shared import Shared
from persona_exp.modeling.cache import cache_folder
from persona_exp.modeling.source import fetch
from persona_exp.training import checkpoint
from persona_exp.training.fused import train as training
from persona_exp.training.fused.lane import Lane
from persona_exp.training.fused.row_pass import NoRoom
from persona_exp.training.fused.tick import tick
from persona_exp.training.fused.train import train
from persona_exp.training.fused.validation import Validation, validation_loss
from persona_exp.training.interruption import Interruption
from tests.training.fused.bundles import Bundle, base, examples, recipe

# Four trials that end one after the other.
STEPS = (3, 6, 2, 4)
RECIPES = [recipe(seed=number, r=2 + 2 * number, dropout=0.1, max_steps=steps, warmup_steps=1) for number, steps in enumerate(STEPS)]


class Rider:
    """A trial that keeps in memory what others keep on the disk."""

    def __init__(self, model, number, told, recipes=RECIPES):
        self.recipes, self.number, self.lane, self.saved, self.error, self.ticks = recipes, number, None, {}, None, []
        self._model, self._told = model, told

    def ready(self):
        self.lane = Lane(self.number, self._model, examples(self.number, 12 + self.number), self.recipes[self.number])
        if self.saved:
            step = max(self.saved)
            self.lane.step, weights, states = step, *self.saved[step]
            with torch.no_grad():
                for one, kept in zip(self.lane.adapter.parameters(), weights, strict=True):
                    one.copy_(kept)
            self.lane._optimizer.load_state_dict(states[0])
            self.lane._schedule.load_state_dict(states[1])
        return self

    def stepped(self, step, tick):
        self.ticks.append(tick)

    def looked(self, look):
        self.lane.validation.looked(self.lane.step, look.loss, self.lane.adapter)
        self._told.append(("looked", self.number, self.lane.step))

    def due(self, ticks, seconds):
        return False

    def save(self, ticks):
        weights = [one.detach().clone() for one in self.lane.adapter.parameters()]
        self.saved[self.lane.step] = weights, (self.lane._optimizer.state_dict(), self.lane._schedule.state_dict())
        self._told.append(("saved", self.number, ticks))

    def finished(self):
        self._told.append(("finished", self.number))

    def failed(self, error):
        self.error = error
        self._told.append(("failed", self.number))

    def left(self):
        self.weights = torch.cat([one.detach().clone() for one in self.lane.adapter.parameters()])
        self.lane = None


class Line:
    """Who waits, in order."""

    def __init__(self, riders):
        self.waiting = list(riders)

    def board(self, riding, places, ticks):
        boarded, self.waiting = self.waiting[:places], self.waiting[places:]
        return [rider.ready() for rider in boarded]

    def put_back(self, riders):
        self.waiting = [*riders, *self.waiting]


@pytest.fixture(scope="module")
def folder():
    return fetch("tiny", "tiny", None, None, cache_folder())


def travelled(folder, at_once, product=add_slices, row_tokens=512):
    """The riders of a journey of all four, and what was told in which order."""
    shared, told = Shared(base(folder), product), []
    riders = [Rider(shared.model, number, told) for number in range(4)]
    line = Line(riders)
    first = line.board([], at_once, 0)
    train(shared, first, line, ticks=0, at_once=at_once, row_tokens=row_tokens, interruption=Interruption())
    return riders, told


def as_if_alone(riders, folder):
    for rider in riders:
        alone = Bundle(base(folder), RECIPES, [rider.number])
        alone.run(STEPS[rider.number])
        torch.testing.assert_close(rider.weights, alone.weights()[rider.number], rtol=1e-9, atol=1e-12)


def test_who_waits_takes_the_place_of_who_is_done(folder):
    riders, told = travelled(folder, at_once=2)
    assert [len(rider.ticks) for rider in riders] == list(STEPS)
    assert all(tick.lanes <= 2 for rider in riders for tick in rider.ticks)
    # The third boards when the first is done, the fourth after the third.
    assert [one for one in told if one[0] == "finished"] == [("finished", number) for number in (0, 2, 1, 3)]
    as_if_alone(riders, folder)


def test_all_that_ride_are_saved_before_one_of_them_leaves(folder):
    _, told = travelled(folder, at_once=2)
    first = told.index(("finished", 0))
    assert told[:first] == [("saved", 0, 3), ("saved", 1, 3)]


def test_what_takes_long_to_save_is_saved_less_often(folder, monkeypatch):
    class Slow(Rider):
        def due(self, ticks, seconds):
            return True

        def save(self, ticks):
            super().save(ticks)
            time.sleep(self.pause)

    for brief, saves in ((60.0, [1, 2, 3]), (0.05, [1, 3])):
        monkeypatch.setattr(checkpoint, "BRIEF", brief)
        shared, told = Shared(base(folder)), []
        riders = [Slow(shared.model, number, told, [recipe(max_steps=steps) for steps in (3, 4)]) for number in range(2)]
        for rider in riders:
            rider.pause = 0.1
        train(shared, [rider.ready() for rider in riders], Line([]), ticks=0, at_once=2, row_tokens=512, interruption=Interruption())
        # Before who is done leaves, all are.
        assert [ticks for what, number, *ticks in told if what == "saved" and number == 0] == [[tick] for tick in saves]


def test_who_stops_early_frees_its_place(folder):
    class Watched(Rider):
        def ready(self):
            super().ready()
            if self.number == 1:
                self.lane.validation = Validation(examples(50, 3), 1, 2)
            return self

        def looked(self, look):
            # Nothing it learns is of use.
            super().looked(replace(look, loss=float(self.lane.step)))

    shared, told = Shared(base(folder)), []
    riders = [Watched(shared.model, number, told) for number in range(4)]
    line = Line(riders)
    train(shared, line.board([], 2, 0), line, ticks=0, at_once=2, row_tokens=512, interruption=Interruption())
    assert [len(rider.ticks) for rider in riders] == [3, 3, 2, 4]
    assert [one for one in told if one[0] == "looked"] == [("looked", 1, step) for step in (1, 2, 3)]
    # Both begin when the first two are done, after the third step.
    assert [one for one in told if one[0] == "finished"] == [("finished", number) for number in (0, 1, 2, 3)]


def test_what_goes_wrong_in_a_look_is_its_lanes_own(folder, monkeypatch):
    class Watched(Rider):
        def ready(self):
            super().ready()
            self.lane.validation = Validation(examples(50, 3), 1)
            return self

    def fails(shared, lane, *given):
        if lane == 1:
            raise ValueError("of its own")
        return validation_loss(shared, lane, *given)

    monkeypatch.setattr(training, "validation_loss", fails)
    shared, told = Shared(base(folder)), []
    riders = [Watched(shared.model, number, told) for number in range(4)]
    line = Line(riders)
    train(shared, line.board([], 2, 0), line, ticks=0, at_once=2, row_tokens=512, interruption=Interruption())
    assert [str(rider.error) for rider in riders] == ["None", "of its own", "None", "None"]
    assert [len(rider.ticks) for rider in riders] == [3, 1, 2, 4]


def test_what_was_saved_already_says_nothing_of_how_long_saving_takes(folder, monkeypatch):
    class Slow(Rider):
        def ready(self):
            super().ready()
            self.lane.validation = Validation(examples(50, 3), 1, 1) if self.number == 0 else None
            return self

        def looked(self, look):
            super().looked(replace(look, loss=float(self.lane.step)))

        def due(self, ticks, seconds):
            return ticks % 2 == 0

        def save(self, ticks):
            if self.lane.step not in self.saved:
                super().save(ticks)
                time.sleep(0.1)

    monkeypatch.setattr(checkpoint, "BRIEF", 0.05)
    shared, told = Shared(base(folder)), []
    riders = [Slow(shared.model, number, told, [recipe(max_steps=9), recipe(max_steps=9)]) for number in range(2)]
    train(shared, [rider.ready() for rider in riders], Line([]), ticks=0, at_once=2, row_tokens=512, interruption=Interruption())
    # After the second step both were saved when the first left.
    assert [ticks for what, number, *ticks in told if what == "saved" and number == 1] == [[2]]


def test_killed_after_its_last_step_a_lane_takes_no_other(folder):
    shared, told = Shared(base(folder)), []
    rider = Rider(shared.model, 0, told, [recipe(lr_schedule="constant", max_steps=3, warmup_steps=0)])
    rider.ready()
    while not rider.lane.done:
        tick_of(shared, rider)
    rider.save(3)
    before = rider.saved[3][0]
    rider.ready()
    train(shared, [rider], Line([]), ticks=3, at_once=1, row_tokens=512, interruption=Interruption())
    assert (rider.ticks, told[-1]) == ([], ("finished", 0))
    assert torch.equal(rider.weights, torch.cat(before))


def tick_of(shared, rider):
    shared.join(rider.number, rider.lane.adapter)
    tick(shared, [rider.lane], 512)


def test_who_fails_frees_a_place_too(folder, monkeypatch):
    stepped = Rider.stepped

    def fails(self, step, tick):
        stepped(self, step, tick)
        if self.number == 1 and step.step == 2:
            raise ValueError("of its own")

    monkeypatch.setattr(Rider, "stepped", fails)
    riders, told = travelled(folder, at_once=2)
    assert ("failed", 1) in told
    assert sorted(one[1] for one in told if one[0] == "finished") == [0, 2, 3]
    as_if_alone([riders[0], riders[2], riders[3]], folder)


def hungry(most):
    """A product for which there is no memory with more than `most` lanes in a row."""

    def product(x, y, parts):
        if len(parts) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return add_slices(x, y, parts)

    return product


def test_without_memory_half_of_the_lanes_wait_and_go_on_from_where_they_were(folder, capsys):
    riders, told = travelled(folder, at_once=4, product=hungry(2))
    assert told[:2] == [("saved", 2, 0), ("saved", 3, 0)]
    assert [len(rider.ticks) for rider in riders] == list(STEPS)
    assert all(tick.lanes <= 2 for rider in riders for tick in rider.ticks)
    assert "2 trials go on together, and 2 after them" in capsys.readouterr().out
    as_if_alone(riders, folder)


def test_a_lane_alone_goes_on_with_shorter_rows(folder, capsys):
    def product(x, y, parts):
        if len(x) > 80:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return add_slices(x, y, parts)

    riders, _ = travelled(folder, at_once=1, product=product)
    assert "rows of" in capsys.readouterr().out
    assert [len(rider.ticks) for rider in riders] == list(STEPS)
    as_if_alone(riders, folder)


def test_whoever_has_no_room_even_alone_fails_alone(folder):
    def product(x, y, parts):
        if any(len(part.pair.a) == 8 for part in parts):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return add_slices(x, y, parts)

    riders, told = travelled(folder, at_once=2, product=product)
    assert [isinstance(rider.error, NoRoom) for rider in riders] == [False, False, False, True]
    assert sorted(one[1] for one in told if one[0] == "finished") == [0, 1, 2]
    as_if_alone(riders[:3], folder)


def test_rows_of_several_lanes_are_shortened_before_some_must_wait(folder, capsys):
    def product(x, y, parts):
        if len(x) > 520:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return add_slices(x, y, parts)

    long = [recipe(seed=number, max_steps=3, effective_batch_size=16, warmup_steps=1) for number in range(3)]
    shared, told = Shared(base(folder), product), []
    riders = [Rider(shared.model, number, told, long) for number in range(3)]
    line = Line(riders)
    train(shared, line.board([], 3, 0), line, ticks=0, at_once=3, row_tokens=2048, interruption=Interruption())
    said = capsys.readouterr().out
    assert "rows of" in said
    assert "after them" not in said
    assert all(tick.lanes == 3 and tick.row_tokens <= 520 for rider in riders for tick in rider.ticks)
