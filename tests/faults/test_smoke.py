"""A cluster started, a sweep preempted on it, all ended: what CI can wait for."""

import time

import pytest

from tests.faults.sweep import TINY, seconds_since
from tests.faults.test_signals import preempt, resumed

pytestmark = pytest.mark.slurm

SHORT = ("-m", "method=lora", "lora.r=8", "train.max_steps=24", "train.checkpoint_steps=4", *TINY)


def test_a_preempted_sweep_is_what_it_would_have_been(cluster, sweep, expected):
    started = time.monotonic()
    whole = expected(SHORT)
    one = sweep(SHORT)
    one.launch()
    (trial,) = whole
    one.reaches(trial, 4)
    preempt(cluster, one, trial)
    one.ends()
    one.drains()
    causes = one.finished_once(whole)
    one.reported()
    assert len(causes[trial]) == 2
    assert resumed(one, trial, 4)
    print(f"\n{seconds_since(started)}: {causes}")
