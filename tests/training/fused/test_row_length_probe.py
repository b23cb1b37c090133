"""What a device shows before the first step; that nothing is learnt by it; rows as long as the memory allows."""

import pytest
import torch

from persona_exp.modeling.model_cache import cache_folder
from persona_exp.modeling.model_source import fetch
from persona_exp.modeling.multi_lora.shared_model import SharedModel
from persona_exp.training.fused import row_length_probe as probing
from persona_exp.training.fused.row_forward_backward import RowOutOfMemory
from persona_exp.training.fused.row_length_probe import FILLED, LENGTHS, RowLengthProbe, probe
from persona_exp.training.fused.slot import Slot
from tests.training.fused.bundles import Bundle, base, examples, recipe

GB = 10**9


@pytest.fixture(scope="module")
def folder():
    return fetch("tiny", "tiny", None, None, cache_folder())


def slots_on(model):
    return [Slot(number, model, examples(number, 12), recipe(seed=number, dropout=0.2)) for number in range(2)]


def test_rows_of_each_length_are_timed_with_everybody_aboard(folder, monkeypatch):
    passed = []

    def pass_(shared, documents):
        passed.append(documents)
        return sum(len(one.input_ids) for one in documents) / len(passed)

    monkeypatch.setattr(probing, "_pass", pass_)
    model = base(folder)
    found = probe(SharedModel(model), slots_on(model), (100, 200, 400))
    # The second pass of each is the one that counts.
    assert [speed for _, speed in found.speeds] == pytest.approx([2, 4, 6])
    assert [tokens for tokens, _ in found.speeds] == [sum(len(one.input_ids) for one in row) for row in passed[1::2]]
    assert all(asked <= tokens < asked + 2 * 40 for asked, (tokens, _) in zip((100, 200, 400), found.speeds, strict=True))
    assert {one.slot for row in passed for one in row} == {0, 1}
    assert found.trials == 2


def test_lengths_that_make_the_same_row_are_tried_once(folder, monkeypatch):
    monkeypatch.setattr(probing, "_pass", lambda shared, documents: 1.0)
    model = base(folder)
    slots = slots_on(model)
    # A document of each slot is longer than the first three.
    shortest = sum(len(slot.documents()[0].input_ids) for slot in slots)
    found = probe(SharedModel(model), slots, (1, 2, 3, 100, 200))
    assert (found.speeds[0][0], len(found.speeds)) == (shortest, 3)


def test_nothing_is_learnt_and_training_is_what_it_would_have_been(folder):
    recipes = [recipe(seed=number, dropout=0.2) for number in range(2)]
    one, other = (Bundle(base(folder, torch.float32), recipes, range(2)) for _ in range(2))
    assert probe(one.shared, one.slots, (64, 128)).speeds[0][1] > 0
    assert one.run(4) == other.run(4)
    assert all(torch.equal(one.weights()[number], other.weights()[number]) for number in range(2))


def test_an_error_in_a_row_is_left_to_the_first_step(folder, capsys):
    def faulty(x, y, segments):
        raise RuntimeError("a fault of one slot")

    model = base(folder)
    slots = slots_on(model)
    assert probe(SharedModel(model, faulty), slots, (64,)) is None
    assert "RuntimeError: a fault of one slot" in capsys.readouterr().out
    assert all(not one.grad.any() for slot in slots for one in slot.adapter.parameters())


@pytest.mark.parametrize(("room", "tried"), [(0, None), (1, 1), (2, 2)])
def test_no_longer_rows_are_tried_than_fit(folder, monkeypatch, room, tried):
    model = base(folder)

    def pass_(shared, documents):
        if sum(len(one.input_ids) for one in documents) > 150 * room:
            raise RowOutOfMemory("out of memory")
        return 1.0

    monkeypatch.setattr(probing, "_pass", pass_)
    found = probe(SharedModel(model), slots_on(model), (80, 200, 400))
    assert (found and len(found.speeds)) == tried


def test_it_ends_when_longer_rows_are_no_faster(folder, monkeypatch):
    speeds = iter([speed for speed in (10.0, 20.0, 20.5, 20.1, 99.0) for _ in range(2)])
    monkeypatch.setattr(probing, "_pass", lambda shared, documents: sum(len(one.input_ids) for one in documents) / next(speeds))
    model = base(folder)
    found = probe(SharedModel(model), slots_on(model), (50, 100, 200, 400, 800))
    assert [speed for _, speed in found.speeds] == pytest.approx([10.0, 20.0, 20.5, 20.1])


@pytest.mark.parametrize(
    ("resident", "a_token", "expected"),
    [
        # 0.8 · 80 − 16 = 48 GB hold 24,576 tokens of 2 MB: more than is of use.
        (16 * GB, 2e6, LENGTHS[-1]),
        # 4,800 of 10 MB, in whole 512.
        (16 * GB, 1e7, 4608),
        # Hardly any room: as before.
        (63 * GB, 1e7, 2048),
    ],
)
def test_rows_grow_into_the_memory_that_is_there(resident, a_token, expected):
    row = RowLengthProbe(8, ((2048, 1.0),), resident, a_token).row_tokens(2048, 80 * GB)
    assert row == expected
    assert row == 2048 or resident + row * a_token <= FILLED * 80 * GB
