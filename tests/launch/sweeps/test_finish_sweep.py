"""The end of a sweep: what it says of the trials that are missing."""

import pytest

from persona_exp.launch.sweeps.finish_sweep import _print_missing
from persona_exp.launch.sweeps.trial_set import SweepTrial


@pytest.mark.parametrize(
    ("missing", "trials", "said"),
    [(1, 1, "1 of 1 trials is missing;"), (1, 5, "1 of 5 trials is missing;"), (2, 1500, "2 of 1,500 trials are missing;")],
)
def test_the_missing_are_counted_in_a_sentence(tmp_path, capsys, missing, trials, said):
    lost = [SweepTrial(f"{number:012x}/seals/0a1b2c3d.json", "a title", "noop") for number in range(missing)]
    _print_missing(tmp_path / "sweeps" / "s", lost, trials)
    assert capsys.readouterr().out.splitlines()[-1].startswith(said)
