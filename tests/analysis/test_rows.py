import pytest

from analysis.results import setting_keys
from analysis.rows import row_json
from persona_exp.errors import UserError
from tests.analysis.conftest import read


def rows_of(folder):
    return read(folder)[1]


def test_base_rows_then_settings_by_number(ranks):
    rows = rows_of(ranks())
    assert [(row.condition, row.overrides) for row in rows] == [
        ("base", {}),
        ("base+system", {}),
        ("adapter", {"lora.r": 8}),
        ("adapter", {"lora.r": 16}),
        ("adapter", {"lora.r": 32}),
    ]
    failed = rows[-1]
    assert (failed.perplexity, failed.difference, failed.metrics, failed.items) == (None, None, {}, 0)
    assert failed.problems[0].reason == "failed (out_of_memory)"


def test_difference_is_from_the_base_model_with_the_system_prompt(ranks):
    _, base, better, same, _ = rows_of(ranks())
    assert better.difference.value == pytest.approx(better.perplexity.value - base.perplexity.value)
    assert better.difference.high < 0
    assert same.difference.includes_zero


def test_seeds_of_a_setting_are_one_row(runs):
    trials = [
        runs.base(),
        *(
            runs.adapter({"lora.r": r, "seed": seed}, status="failed" if (r, seed) == (16, 1) else "finished")
            for seed in (2, 1, 0)
            for r in (16, 8)
        ),
    ]
    folder = runs.sweep(["lora.r", "seed"], trials)
    eight, sixteen = rows_of(folder)[2:]
    assert (eight.seeds, len(eight.outcomes), eight.problems) == ([0, 1, 2], 3, [])
    assert eight.perplexity.value == pytest.approx(sum(eight.by_seed) / 3)
    assert (sixteen.seeds, len(sixteen.outcomes), len(sixteen.problems)) == ([0, 2], 3, 1)
    assert setting_keys(read(folder)[0].sweep) == ["lora.r"]


def test_each_model_is_compared_with_its_own_base(runs):
    models = {"small": 4.4, "large": 3.4}
    trials = [runs.base(model=model, levels=(level + 0.3, level)) for model, level in models.items()]
    trials += [runs.adapter({"model": model}, model=model, level=level - 0.1) for model, level in models.items()]
    rows = rows_of(runs.sweep(["model"], trials))
    assert [row.overrides["model"] for row in rows] == ["small", "large"] * 3
    for base, adapter in zip(rows[2:4], rows[4:], strict=True):
        assert adapter.difference.value == pytest.approx(adapter.perplexity.value - base.perplexity.value)


def test_base_of_the_same_quantisation_is_preferred(runs):
    trials = [runs.base(quantisation=one, levels=(5, level)) for one, level in (("none", 4.4), ("nf4", 4.5))]
    trials += [runs.adapter({"method": name}, quantisation=one) for name, one in (("qlora", "nf4"), ("lora", "none"))]
    rows = rows_of(runs.sweep(["method"], trials))
    bases = {row.sample.quantisation: row.perplexity.value for row in rows if row.condition == "base+system"}
    for row in rows[4:]:
        assert row.difference.value == pytest.approx(row.perplexity.value - bases[row.sample.quantisation])
        assert not row.other_quantisation


def test_no_difference_without_the_base_row(runs):
    (row,) = rows_of(runs.sweep(["lora.r"], [runs.adapter({"lora.r": 8})]))
    assert row.perplexity is not None
    assert row.difference is None


def test_other_replies_are_refused(runs):
    trial = runs.adapter({"lora.r": 8}, evaluated=False)
    items = runs.items(level=4)
    items[3]["example"] = "another"
    trial["evaluations"] = runs.evaluation(trial["trial_id"], "adapter", items)
    with pytest.raises(UserError, match="same replies"):
        rows_of(runs.sweep(["lora.r"], [runs.base(), trial]))


def test_each_evaluation_is_compared_with_the_base_row_of_the_same(runs):
    swept = "evaluation.likelihood_items"
    trials = [runs.base(count=count, likelihood_items=count) for count in (30, 40)]
    trials += [runs.adapter({swept: count}, count=count, likelihood_items=count, evaluated=count < 50) for count in (30, 40, 50)]
    rows = rows_of(runs.sweep([swept], trials))
    assert [(row.items, row.overrides) for row in rows] == [(count, {swept: count}) for _ in range(3) for count in (30, 40)] + [
        (0, {swept: 50})
    ]
    for base, adapter in zip(rows[2:4], rows[4:6], strict=True):
        assert adapter.difference.value == pytest.approx(adapter.perplexity.value - base.perplexity.value)


def test_json_says_what_is_separable(ranks):
    found = [row_json(row) for row in rows_of(ranks())]
    assert [row["separable"] for row in found] == [None, None, True, False, None]
    assert found[2]["label"] == "lora.r=8"
