"""Steps and batches."""

import math

from hypothesis import given
from hypothesis import strategies as st

from persona_exp.training.schedule import plan


def make(**changes):
    given_ = {"examples": 195, "epochs": 3, "max_steps": None, "effective_batch_size": 8, "micro_batch_size": 4, "warmup_ratio": 0.05}
    return plan(**{**given_, **changes})


def test_three_epochs_of_195_examples_in_eights():
    schedule = make()
    assert (schedule.max_steps, schedule.warmup_steps) == (75, 4)
    assert (schedule.micro_batch_size, schedule.accumulation_steps) == (4, 2)


def test_max_steps_rules_over_epochs():
    assert make(max_steps=6).max_steps == 6


@given(effective=st.integers(1, 128), micro=st.integers(1, 128), examples=st.integers(1, 10_000), epochs=st.floats(0.1, 10))
def test_a_step_sees_the_effective_batch_whatever_the_micro_batch(effective, micro, examples, epochs):
    schedule = make(effective_batch_size=effective, micro_batch_size=micro, examples=examples, epochs=epochs)
    assert schedule.micro_batch_size * schedule.accumulation_steps == effective
    assert schedule.micro_batch_size <= micro
    assert schedule.max_steps == math.ceil(epochs * math.ceil(examples / effective)) >= 1
