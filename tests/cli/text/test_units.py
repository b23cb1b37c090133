"""Sizes as a person reads them, at the edges of their units."""

import pytest

from persona_exp.cli.text.units import asked_of, energy, memory_size, rate


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        (rate(0, "FLOP/s"), "0 FLOP/s"),
        (rate(999, "FLOP/s"), "999 FLOP/s"),
        (rate(1183e8, "FLOP/s"), "118 GFLOP/s"),
        (rate(4.025e12, "FLOP/s"), "4.03 TFLOP/s"),
        (rate(2.25e15, "FLOP/s"), "2,250 TFLOP/s"),
        (memory_size(812 << 20), "812 MiB"),
        (memory_size(1 << 30), "1 GiB"),
        (memory_size(141.5 * (1 << 30)), "142 GiB"),
        (asked_of(3, 8, "trials"), "3 of 8 trials asked for"),
        (asked_of(12, 8), "12 asked for, and n_trials=8"),
        (energy(36), "0.01 Wh"),
        (energy(1.1e6), "306 Wh"),
        (energy(9e6), "2.5 kWh"),
    ],
)
def test_units(said, wanted):
    assert said == wanted
