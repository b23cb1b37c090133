"""benchmarks/pruning.py: what is read off a bundle's steps, and how two sides compare."""

import pytest

from benchmarks.pruning import Ended, compared, filled_late


def bundle(*steps):
    """Trials that take steps together: the first time at step 0, then one further each time."""
    found, done = [], {}
    for numbers in steps:
        found.append({number: done.get(number, 0) for number in numbers})
        done |= {number: done.get(number, 0) + 1 for number in numbers}
    return found


@pytest.mark.parametrize(
    ("steps", "late"),
    [
        (("0123", "0123", "0124", "0124"), 0),
        (("0123", "012", "012", "0124"), 2),
        (("0123", "012", "0124", "01", "0"), 1),
        # Promoted later, when it had become one of the best: that is no place filled late.
        (("0123", "012", "0123"), 0),
        ((), 0),
    ],
)
def test_steps_with_a_free_place_are_counted_while_a_trial_is_still_to_begin(steps, late):
    assert filled_late(bundle(*steps)) == late


def ended(values, steps):
    return Ended(({},), values, steps, (), 1.0)


def test_a_best_trial_counts_as_found_within_two_deviations():
    whole = ended({0: 5.0, 1: 4.0, 2: 4.5}, 100)
    same, near, far = (compared(whole, ended(values, 40), 0.1) for values in ({1: 4.0}, {0: 5.0, 2: 4.15}, {2: 4.5}))
    assert (same["steps"], same["same_point"], same["excess_sds"], same["within"]) == (0.4, True, 0.0, True)
    assert (near["same_point"], near["excess_sds"], near["within"]) == (False, pytest.approx(1.5), True)
    assert not far["within"]
