"""A bundle in training: a trial that leaves makes room for a pending one, and a lack of memory lets some wait."""

import time
from dataclasses import replace

import pytest
import torch

from persona_exp.modeling.model_cache import cache_folder
from persona_exp.modeling.model_source import fetch
from persona_exp.modeling.multi_lora.lora_product import add_slices
from persona_exp.modeling.multi_lora.shared_model import SharedModel
from persona_exp.training import checkpoint
from persona_exp.training.fused import fused_engine
from persona_exp.training.fused.bundle_step import bundle_step
from persona_exp.training.fused.early_stopping import EarlyStopping
from persona_exp.training.fused.fused_engine import BundleLimits, train_bundle
from persona_exp.training.fused.row_forward_backward import RowOutOfMemory
from persona_exp.training.fused.slot import Slot
from persona_exp.training.fused.validation_loss import validation_loss
from persona_exp.training.stop_signals import Interruption
from tests.training.fused.bundles import Bundle, base, examples, recipe

# Four trials that end one after the other.
STEPS = (3, 6, 2, 4)
RECIPES = [recipe(seed=number, r=2 + 2 * number, dropout=0.1, max_steps=steps, warmup_steps=1) for number, steps in enumerate(STEPS)]


class Trial:
    """A trial that keeps in memory what others keep on the disk."""

    def __init__(self, model, number, calls, recipes=RECIPES):
        self.recipes, self.number, self.slot, self.saved, self.error, self.bundle_steps = recipes, number, None, {}, None, []
        self._model, self._calls = model, calls

    def ready(self):
        self.slot = Slot(self.number, self._model, examples(self.number, 12 + self.number), self.recipes[self.number])
        self.slot.callbacks = self
        if self.saved:
            step = max(self.saved)
            self.slot.step, weights, states = step, *self.saved[step]
            with torch.no_grad():
                for one, kept in zip(self.slot.adapter.parameters(), weights, strict=True):
                    one.copy_(kept)
            self.slot._optimizer.load_state_dict(states[0])
            self.slot._schedule.load_state_dict(states[1])
        return self.slot

    def stepped(self, step, bundle_step):
        self.bundle_steps.append(bundle_step)

    def validated(self, result):
        self.slot.early_stopping.record(self.slot.step, result.loss, self.slot.adapter)
        self._calls.append(("validated", self.number, self.slot.step))

    def given_up(self, bundle_steps):
        return False

    def checkpoint_due(self, bundle_steps, seconds):
        return False

    def save(self, bundle_steps):
        weights = [one.detach().clone() for one in self.slot.adapter.parameters()]
        self.saved[self.slot.step] = weights, (self.slot._optimizer.state_dict(), self.slot._schedule.state_dict())
        self._calls.append(("saved", self.number, bundle_steps))

    def finished(self):
        self._calls.append(("finished", self.number))

    def failed(self, error):
        self.error = error
        self._calls.append(("failed", self.number))

    def left(self):
        self.weights = torch.cat([one.detach().clone() for one in self.slot.adapter.parameters()])
        self.slot = None


class Queue:
    """Pending trials, in order."""

    def __init__(self, trials):
        self.pending = list(trials)

    def admit(self, places, bundle_steps):
        admitted, self.pending = self.pending[:places], self.pending[places:]
        return [trial.ready() for trial in admitted]

    def put_back(self, slots):
        self.pending = [*(slot.callbacks for slot in slots), *self.pending]


def train(shared, slots, queue, *, at_once, row_tokens=512, bundle_steps=0):
    train_bundle(shared, slots, queue, limits=BundleLimits(at_once, row_tokens), interruption=Interruption(), bundle_steps=bundle_steps)


@pytest.fixture(scope="module")
def folder():
    return fetch("tiny", "tiny", None, None, cache_folder())


def trained(folder, at_once, product=add_slices, row_tokens=512):
    """All four trials once they were trained, and what was called in which order."""
    shared, calls = SharedModel(base(folder), product), []
    trials = [Trial(shared.model, number, calls) for number in range(4)]
    queue = Queue(trials)
    first = queue.admit(at_once, 0)
    train(shared, first, queue, at_once=at_once, row_tokens=row_tokens)
    return trials, calls


def as_if_alone(trials, folder):
    for trial in trials:
        alone = Bundle(base(folder), RECIPES, [trial.number])
        alone.run(STEPS[trial.number])
        torch.testing.assert_close(trial.weights, alone.weights()[trial.number], rtol=1e-9, atol=1e-12)


def test_a_pending_trial_takes_the_place_of_one_that_is_done(folder):
    trials, calls = trained(folder, at_once=2)
    assert [len(trial.bundle_steps) for trial in trials] == list(STEPS)
    assert all(bundle_step.slots <= 2 for trial in trials for bundle_step in trial.bundle_steps)
    # The third is admitted when the first is done, the fourth after the third.
    assert [one for one in calls if one[0] == "finished"] == [("finished", number) for number in (0, 2, 1, 3)]
    as_if_alone(trials, folder)


def test_all_that_run_are_saved_before_one_of_them_leaves(folder):
    _, calls = trained(folder, at_once=2)
    first = calls.index(("finished", 0))
    assert calls[:first] == [("saved", 0, 3), ("saved", 1, 3)]


def test_what_takes_long_to_save_is_saved_less_often(folder, monkeypatch):
    class Slow(Trial):
        def checkpoint_due(self, bundle_steps, seconds):
            return True

        def save(self, bundle_steps):
            super().save(bundle_steps)
            time.sleep(self.pause)

    for brief, saves in ((60.0, [1, 2, 3]), (0.05, [1, 3])):
        monkeypatch.setattr(checkpoint, "BRIEF", brief)
        shared, calls = SharedModel(base(folder)), []
        trials = [Slow(shared.model, number, calls, [recipe(max_steps=steps) for steps in (3, 4)]) for number in range(2)]
        for trial in trials:
            trial.pause = 0.1
        train(shared, [trial.ready() for trial in trials], Queue([]), at_once=2)
        # Before who is done leaves, all are.
        assert [at for what, number, *at in calls if what == "saved" and number == 0] == [[step] for step in saves]


def test_a_trial_that_stops_early_frees_its_place(folder):
    class Watched(Trial):
        def ready(self):
            super().ready()
            if self.number == 1:
                self.slot.early_stopping = EarlyStopping(examples(50, 3), 1, 2)
            return self.slot

        def validated(self, result):
            # Nothing it learns is of use.
            super().validated(replace(result, loss=float(self.slot.step)))

    shared, calls = SharedModel(base(folder)), []
    trials = [Watched(shared.model, number, calls) for number in range(4)]
    queue = Queue(trials)
    train(shared, queue.admit(2, 0), queue, at_once=2)
    assert [len(trial.bundle_steps) for trial in trials] == [3, 3, 2, 4]
    assert [one for one in calls if one[0] == "validated"] == [("validated", 1, step) for step in (1, 2, 3)]
    # Both begin when the first two are done, after the third step.
    assert [one for one in calls if one[0] == "finished"] == [("finished", number) for number in (0, 1, 2, 3)]


def test_an_error_in_a_validation_is_its_slots_own(folder, monkeypatch):
    class Watched(Trial):
        def ready(self):
            super().ready()
            self.slot.early_stopping = EarlyStopping(examples(50, 3), 1)
            return self.slot

    def fails(shared, slot, *given):
        if slot == 1:
            raise ValueError("of its own")
        return validation_loss(shared, slot, *given)

    monkeypatch.setattr(fused_engine, "validation_loss", fails)
    shared, calls = SharedModel(base(folder)), []
    trials = [Watched(shared.model, number, calls) for number in range(4)]
    queue = Queue(trials)
    train(shared, queue.admit(2, 0), queue, at_once=2)
    assert [str(trial.error) for trial in trials] == ["None", "of its own", "None", "None"]
    assert [len(trial.bundle_steps) for trial in trials] == [3, 1, 2, 4]


def test_what_was_saved_already_says_nothing_of_how_long_saving_takes(folder, monkeypatch):
    class Slow(Trial):
        def ready(self):
            super().ready()
            self.slot.early_stopping = EarlyStopping(examples(50, 3), 1, 1) if self.number == 0 else None
            return self.slot

        def validated(self, result):
            super().validated(replace(result, loss=float(self.slot.step)))

        def checkpoint_due(self, bundle_steps, seconds):
            return bundle_steps % 2 == 0

        def save(self, bundle_steps):
            if self.slot.step not in self.saved:
                super().save(bundle_steps)
                time.sleep(0.1)

    monkeypatch.setattr(checkpoint, "BRIEF", 0.05)
    shared, calls = SharedModel(base(folder)), []
    trials = [Slow(shared.model, number, calls, [recipe(max_steps=9), recipe(max_steps=9)]) for number in range(2)]
    train(shared, [trial.ready() for trial in trials], Queue([]), at_once=2)
    # After the second step both were saved when the first left.
    assert [at for what, number, *at in calls if what == "saved" and number == 1] == [[2]]


def test_killed_after_its_last_step_a_slot_takes_no_other(folder):
    shared, calls = SharedModel(base(folder)), []
    trial = Trial(shared.model, 0, calls, [recipe(lr_schedule="constant", max_steps=3, warmup_steps=0)])
    trial.ready()
    while not trial.slot.done:
        step_of(shared, trial)
    trial.save(3)
    before = trial.saved[3][0]
    trial.ready()
    train(shared, [trial.slot], Queue([]), at_once=1, bundle_steps=3)
    assert (trial.bundle_steps, calls[-1]) == ([], ("finished", 0))
    assert torch.equal(trial.weights, torch.cat(before))


def step_of(shared, trial):
    shared.join(trial.number, trial.slot.adapter)
    bundle_step(shared, [trial.slot], 512)


def test_a_trial_that_fails_frees_a_place_too(folder, monkeypatch):
    stepped = Trial.stepped

    def fails(self, step, bundle_step):
        stepped(self, step, bundle_step)
        if self.number == 1 and step.step == 2:
            raise ValueError("of its own")

    monkeypatch.setattr(Trial, "stepped", fails)
    trials, calls = trained(folder, at_once=2)
    assert ("failed", 1) in calls
    assert sorted(one[1] for one in calls if one[0] == "finished") == [0, 2, 3]
    as_if_alone([trials[0], trials[2], trials[3]], folder)


def faulty(seed, training):
    """A product that fails for the slot of that seed, in steps or in validation."""

    def product(x, y, segments):
        if any(segment.pair.seed == seed for segment in segments) and training == torch.is_grad_enabled():
            raise RuntimeError("a fault of its own")
        return add_slices(x, y, segments)

    return product


@pytest.mark.parametrize("training", [True, False])
def test_of_three_the_one_whose_product_fails_leaves_and_two_finish_as_if_alone(folder, training):
    class Validated(Trial):
        def ready(self):
            super().ready()
            self.slot.early_stopping = EarlyStopping(examples(50, 3), 2)
            return self.slot

    shared, calls = SharedModel(base(folder), faulty(RECIPES[1].seed, training)), []
    trials = [Validated(shared.model, number, calls) for number in range(3)]
    queue = Queue(trials)
    train(shared, queue.admit(3, 0), queue, at_once=3)
    assert [f"{trial.error}" for trial in trials] == ["None", "a fault of its own", "None"]
    assert [len(trial.bundle_steps) for trial in trials] == [STEPS[0], 0 if training else 2, STEPS[2]]
    assert sorted(one[1] for one in calls if one[0] == "finished") == [0, 2]
    as_if_alone([trials[0], trials[2]], folder)


def hungry(most):
    """A product for which there is no memory with more than `most` slots in a row."""

    def product(x, y, segments):
        if len(segments) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return add_slices(x, y, segments)

    return product


def test_without_memory_half_of_the_slots_wait_and_go_on_from_where_they_were(folder, capsys):
    trials, calls = trained(folder, at_once=4, product=hungry(2))
    assert calls[:2] == [("saved", 2, 0), ("saved", 3, 0)]
    assert [len(trial.bundle_steps) for trial in trials] == list(STEPS)
    assert all(bundle_step.slots <= 2 for trial in trials for bundle_step in trial.bundle_steps)
    assert "2 trials go on together, and 2 after them" in capsys.readouterr().out
    as_if_alone(trials, folder)


def test_a_slot_alone_goes_on_with_shorter_rows(folder, capsys):
    def product(x, y, segments):
        if len(x) > 80:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return add_slices(x, y, segments)

    trials, _ = trained(folder, at_once=1, product=product)
    assert "rows of" in capsys.readouterr().out
    assert [len(trial.bundle_steps) for trial in trials] == list(STEPS)
    as_if_alone(trials, folder)


def test_a_trial_without_memory_even_alone_fails_alone(folder):
    def product(x, y, segments):
        if any(len(segment.pair.a) == 8 for segment in segments):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return add_slices(x, y, segments)

    trials, calls = trained(folder, at_once=2, product=product)
    assert [isinstance(trial.error, RowOutOfMemory) for trial in trials] == [False, False, False, True]
    assert sorted(one[1] for one in calls if one[0] == "finished") == [0, 1, 2]
    as_if_alone(trials[:3], folder)


def test_rows_of_several_slots_are_shortened_before_some_must_wait(folder, capsys):
    def product(x, y, segments):
        if len(x) > 520:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return add_slices(x, y, segments)

    long = [recipe(seed=number, max_steps=3, effective_batch_size=16, warmup_steps=1) for number in range(3)]
    shared, calls = SharedModel(base(folder), product), []
    trials = [Trial(shared.model, number, calls, long) for number in range(3)]
    queue = Queue(trials)
    train(shared, queue.admit(3, 0), queue, at_once=3, row_tokens=2048)
    said = capsys.readouterr().out
    assert "rows of" in said
    assert "after them" not in said
    assert all(bundle_step.slots == 3 and bundle_step.row_tokens <= 520 for trial in trials for bundle_step in trial.bundle_steps)
