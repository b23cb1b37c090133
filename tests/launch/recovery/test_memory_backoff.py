"""The memory that trials may take after one of them ran out of it."""

from persona_exp.launch.recovery.memory_backoff import MemoryLimits, least_limits


def test_a_batch_takes_the_least_limits_of_its_trials() -> None:
    each = [MemoryLimits(), MemoryLimits(together=4, row_tokens=512), MemoryLimits(together=2)]
    assert least_limits(each) == MemoryLimits(together=2, row_tokens=512)
    assert least_limits(each[:1]) == MemoryLimits()
    assert least_limits([], 4) == MemoryLimits(together=4)
    assert least_limits(each, 1) == MemoryLimits(together=1, row_tokens=512)
    assert least_limits(each[:1], 3) == MemoryLimits(together=3)
