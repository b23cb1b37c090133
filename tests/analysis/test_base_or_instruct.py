"""Base or instruct: one verdict a family; quality over size."""

import json

import numpy as np
import pytest

from analysis.base_or_instruct import family_verdicts
from analysis.bootstrap_intervals import bits_per_byte, bits_per_byte_difference
from analysis.model_size_figure import draw_model_sizes
from analysis.report import main
from tests.analysis.conftest import read

FACTS = {
    "old-8b": ("old", 8, "base"),
    "old-8b-instruct": ("old", 8, "instruct"),
    "new-14b": ("new", 14, "base"),
    "new-14b-instruct": ("new", 14, "instruct"),
    "alone-3b-instruct": ("alone", 3, "instruct"),
    "unsaid": (None, None, None),
}
LEVELS = {"old-8b": 4.2, "old-8b-instruct": 4.0, "new-14b": 3.9, "new-14b-instruct": 3.9, "alone-3b-instruct": 4.4, "unsaid": 4.1}


@pytest.fixture
def models(runs):
    """A sweep over base models: the older instruct is better, the newer pair is alike."""
    runs.facts = {name: dict(zip(("family", "parameters_b", "tuned"), facts, strict=True)) for name, facts in FACTS.items()}
    trials = [runs.base(model=name, levels=(4.9, 4.6)) for name in FACTS]
    trials += [runs.adapter({"model": name, "seed": seed}, level=level, model=name) for name, level in LEVELS.items() for seed in range(3)]
    return runs.sweep(["model", "seed"], trials, arms=["model"])


def test_one_verdict_a_family(models):
    verdicts = family_verdicts(read(models)[1])
    assert [one.family for one in verdicts] == ["old, 8B", "new, 14B"]
    assert verdicts[0].winner.startswith("instruct by 0.0")
    assert verdicts[1].winner == "undecided"
    assert verdicts[1].difference.includes_zero


def test_other_replies_are_not_compared(runs):
    runs.facts = {name: {"family": "old", "parameters_b": 8, "tuned": name} for name in ("base", "instruct")}
    trials = [runs.adapter({"model": name}, model=name, count=count) for name, count in (("base", 40), ("instruct", 39))]
    (verdict,) = family_verdicts(read(runs.sweep(["model"], trials))[1])
    assert (verdict.difference, verdict.winner) == (None, "not comparable: other replies")


def test_the_report_ends_in_them(models, capsys):
    assert main([str(models), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["winner"].split()[0] for one in told["families"]] == ["instruct", "undecided"]
    assert {"model_size.pdf", "model_size.png"} <= set(told["paths"])
    page = (models / "report" / "table.md").read_text()
    assert "## Base or instruct" in page
    assert "| undecided" in page


def test_models_of_unknown_or_one_size_have_no_figure(runs, tmp_path):
    runs.facts = {"known": {"family": "old", "parameters_b": 8, "tuned": "base"}}
    trials = [runs.adapter({"model": name}, model=name) for name in ("known", "unsaid")]
    assert draw_model_sizes(read(runs.sweep(["model"], trials))[1], tmp_path) == []


def test_the_difference_is_paired():
    noise = np.random.default_rng(0)
    hard, sizes = noise.uniform(1, 50, 60), np.full(60, 40)
    one, other = hard + noise.normal(0, 0.1, (3, 60)), hard + 0.5 + noise.normal(0, 0.1, (2, 60))
    found = bits_per_byte_difference(one, other, sizes)
    assert found.value == pytest.approx(bits_per_byte(one, sizes).value - bits_per_byte(other, sizes).value)
    assert found.low < found.value < found.high < 0
    assert found.high - found.low < (bits_per_byte(one, sizes).high - bits_per_byte(one, sizes).low) / 20
