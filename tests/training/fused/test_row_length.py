"""Rows as long as the memory allows."""

import pytest

from persona_exp.training.fused.row_length import FILLED, grown

GB = 10**9


@pytest.mark.parametrize(
    ("resident", "peak", "expected"),
    [
        # 2,048 tokens took 4 GB, so 2 MB each; 0.8 · 80 − 16 = 48 GB hold 24,576: more than is of use.
        (16 * GB, 20 * GB, 16384),
        # 10 MB each: 4,800 tokens, in whole 512.
        (16 * GB, 16 * GB + 2048 * 10**7, 4608),
        # Hardly any room: as before.
        (60 * GB, 75 * GB, 2048),
    ],
)
def test_rows_grow_into_the_memory_that_is_there(resident, peak, expected):
    assert grown(2048, seen=2048, resident=resident, peak=peak, total=80 * GB) == expected


def test_a_grown_row_would_fit():
    for peak in (18, 20, 30, 45):
        row = grown(512, seen=1024, resident=16 * GB, peak=peak * GB, total=80 * GB)
        if row > 512:
            assert 16 * GB + row * (peak - 16) * GB / 1024 <= FILLED * 80 * GB
