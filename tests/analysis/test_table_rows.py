import pytest

from analysis.comparable_rows import newest
from analysis.report_json import row_json
from analysis.sweep_results import setting_keys
from persona_exp.errors import UserError
from tests.analysis.conftest import EVALUATION, TRAINING, read


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


@pytest.mark.parametrize(("key", "values"), [("quantisation", ("none", "nf4")), ("dtype", ("float32", "bfloat16"))])
def test_an_adapter_is_compared_with_the_base_of_its_own_precision(runs, key, values):
    levels = dict(zip(values, (4.4, 4.5), strict=True))
    trials = [runs.base(levels=(5, level), **{key: one}) for one, level in levels.items()]
    trials += [runs.adapter({"experiment": one}, **{key: one}) for one in reversed(values)]
    rows = rows_of(runs.sweep(["experiment"], trials))
    bases = {row.sample.basis.precision[key]: row.perplexity.value for row in rows if row.condition == "base+system"}
    assert bases.keys() == set(values)
    for row in rows[4:]:
        assert row.difference.value == pytest.approx(row.perplexity.value - bases[row.sample.basis.precision[key]])


@pytest.mark.parametrize("other", [{"quantisation": "none"}, {"dtype": "float32"}, {"data": "feedfeedfeed"}, {"model": "large"}])
def test_a_base_of_another_precision_data_or_model_is_no_reference(runs, other):
    trials = [runs.base(**other), runs.adapter({"data.size": 8})]
    row = rows_of(runs.sweep(["data.size"], trials))[-1]
    assert row.perplexity is not None
    assert (row.difference, row_json(row)["separable"]) == (None, None)


def test_base_rows_have_names_of_their_own(runs):
    bases = [{"quantisation": "nf4"}, {"quantisation": "none"}, {"quantisation": "none", "data": "feedfeedfeed"}]
    trials = [*(runs.base(**base) for base in bases), runs.adapter({"data.size": 8})]
    rows = rows_of(runs.sweep(["data.size"], trials))
    names = [row.name for row in rows if row.condition == "base"]
    assert names == [
        "base model (nf4, data 0da7a0da7a00)",
        "base model (not quantised, data 0da7a0da7a00)",
        "base model (not quantised, data feedfeedfeed)",
    ]
    for kind in ("name", "short_name"):
        assert len({getattr(row, kind) for row in rows}) == len(rows)
    assert len({row_json(row)["label"] for row in rows}) == len(rows)


def test_base_rows_that_nothing_tells_apart_have_their_trials_for_names(runs):
    runs.trial("feedfeedfeed", version=None)
    twin = {"trial_id": "feedfeedfeed", "role": "base", "overrides": {}, "evaluations": {"base": "0" * 12, "base+system": "1" * 12}}
    rows = rows_of(runs.sweep(["lora.r"], [{**runs.base(), "evaluations": {"base": "2" * 12}}, twin, twin, runs.adapter({"lora.r": 8})]))
    names = [row.name for row in rows]
    assert len(set(names)) == len(names)
    assert sum("feedfeedfeed" in name for name in names) == 4


def old_and_new(runs):
    """Seeds 0 and 1 of each rank: of 8 the first by an older training version, of 16 by an older evaluation."""
    old = {"version": TRAINING - 1, "level": 3.5}
    trials = [runs.base(), runs.base(EVALUATION_VERSION=EVALUATION - 1)]
    trials += [runs.adapter({"lora.r": 8, "seed": 0}, **old), runs.adapter({"lora.r": 8, "seed": 1})]
    trials += [
        runs.adapter({"lora.r": 16, "seed": 0}, level=3.5, EVALUATION_VERSION=EVALUATION - 1),
        runs.adapter({"lora.r": 16, "seed": 1}),
    ]
    return runs.sweep(["lora.r", "seed"], trials)


def test_what_older_versions_made_has_rows_of_its_own(runs):
    rows = rows_of(old_and_new(runs))
    settings = [(row.overrides["lora.r"], row.sample.versions, row.seeds) for row in rows if row.condition == "adapter"]
    new = (TRAINING, EVALUATION)
    assert settings == [(8, new, [1]), (8, (TRAINING - 1, EVALUATION), [0]), (16, new, [1]), (16, (TRAINING, EVALUATION - 1), [0])]
    older = [row for row in rows if row.outdated]
    assert all(row.name.endswith("‡") for row in older)
    assert len(older) == 4
    assert len({(row.name, str(row.overrides)) for row in rows}) == len(rows)
    bases = {row.sample.versions[1]: row.perplexity.value for row in rows if row.condition == "base+system"}
    for row in rows[4:]:
        assert row.difference.value == pytest.approx(row.perplexity.value - bases[row.sample.versions[1]])
    assert [row for row in newest(rows) if row.outdated] == []
    assert len(newest(rows)) == len(rows) - 4


def test_a_seed_without_figures_stays_with_its_version(runs):
    trials = [
        runs.adapter({"lora.r": 8, "seed": seed}, version=TRAINING - seed // 2, status="failed" if seed % 2 else "finished")
        for seed in range(4)
    ]
    rows = rows_of(runs.sweep(["lora.r", "seed"], [runs.base(), *trials]))[2:]
    assert [(row.seeds, len(row.outcomes)) for row in rows] == [([0], 2), ([2], 2)]


HEAD = "bfloat16, output head in float32"


def test_models_of_unlike_dtype_share_a_table_each_with_its_own_base(runs):
    ways = {"float32": "float32", "bfloat16": HEAD}
    trials = [runs.base(levels=(5, 4.4 + 0.1 * (dtype == "float32")), dtype=dtype, precision=way) for dtype, way in ways.items()]
    trials += [runs.adapter({"model.dtype": dtype}, dtype=dtype, precision=way) for dtype, way in ways.items()]
    results, rows = read(runs.sweep(["model.dtype"], trials))
    assert "precision" not in results.settings
    bases = {row.sample.precision: row.perplexity.value for row in rows if row.condition == "base+system"}
    assert bases.keys() == set(ways.values())
    for row in rows[4:]:
        assert row.difference.value == pytest.approx(row.perplexity.value - bases[row.sample.precision])
    for row in rows:
        assert f"evaluated in {ways[row.overrides['model.dtype']]})" in row.name
        assert row_json(row)["evaluation_precision"] == ways[row.overrides["model.dtype"]]


def test_what_two_kinds_of_machines_evaluated_is_neither_averaged_nor_subtracted(runs):
    trials = [runs.base(precision="float32")]
    trials += [
        runs.adapter({"lora.r": 8, "seed": seed}, precision=precision) for seed, precision in enumerate(("float32", HEAD, "float32", HEAD))
    ]
    rows = rows_of(runs.sweep(["lora.r", "seed"], trials))
    assert [(row.name, row.seeds, row.difference is None) for row in rows[1:]] == [
        ("base + system prompt (evaluated in float32)", [], True),
        ("adapter (evaluated in float32)", [0, 2], False),
        (f"adapter (evaluated in {HEAD})", [1, 3], True),
    ]


def test_a_precision_that_all_share_is_in_no_name(runs):
    results, rows = read(runs.sweep(["lora.r"], [runs.base(precision=HEAD), runs.adapter({"lora.r": 8}, precision=HEAD)]))
    assert (results.settings["precision"], rows[-1].name) == (HEAD, "adapter")


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
