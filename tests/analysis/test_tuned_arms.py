"""Arms with tuned settings: chosen on the validation split, reported on the test split, and what the caption says of it."""

import json

import pytest

from analysis.report import main
from analysis.sweep_results import read_results, setting_keys
from analysis.table_rows import build_rows
from analysis.tuned_arms import reported

SWEPT = ["seed", "evaluation.split", "lora.r", "optim.lr"]
# Of rank 8 the higher rate is better on the validation split, of rank 16 the lower one.
VALIDATION = {(8, 1e-3): 4.2, (8, 2e-3): 4.0, (16, 1e-3): 4.0, (16, 2e-3): 4.2}


@pytest.fixture
def tuned(runs):
    """`tuned(without=…)`: two ranks at two rates; the validation split, which chooses, prefers other rates than the test split."""

    def made(tuning=(100, 101), reporting=(0, 1, 2), without=(), swept=SWEPT):
        trials = [runs.base(split=split) for split in ("validation", "test")]
        for split, seeds in (("validation", tuning), ("test", reporting)):
            for (r, lr), level in VALIDATION.items():
                for seed in seeds:
                    overrides = {"seed": seed, "evaluation.split": split, "lora.r": r, "optim.lr": lr}
                    failed = {"status": "failed", "cause": "out_of_memory"} if (r, lr, seed) in without else {}
                    trials.append(runs.adapter(overrides, level=level if split == "validation" else 8.3 - level, split=split, **failed))
        return runs.sweep(list(swept), trials, arms=["lora.r"], tuned=["optim.lr"])

    return made


def shown(folder):
    results = reported(read_results(folder.parent.parent, folder.name))
    return results, build_rows(results)


def test_the_validation_split_chooses_and_the_test_split_reports(tuned):
    results, rows = shown(tuned())
    assert [row.overrides for row in rows if row.condition == "adapter"] == [
        {"lora.r": 8, "optim.lr": 2e-3}, {"lora.r": 16, "optim.lr": 1e-3}
    ]  # fmt: skip
    assert all(row.split == "test" for row in rows)
    assert [row.seeds for row in rows if row.condition == "adapter"] == [[0, 1, 2]] * 2
    assert all(row.difference for row in rows if row.condition == "adapter")
    assert setting_keys(results.sweep) == ["lora.r", "optim.lr"]


def test_the_caption_says_what_was_tuned(tuned):
    first, second, *others = shown(tuned())[0].tuning
    assert first == (
        "Tuned for each lora.r: optim.lr over 0.001, 0.002, by the lowest mean bits/byte of seeds 100, 101 on the validation split; "
        "4 trials an arm."
    )
    assert second == "Shown are the seeds 0, 1, 2 at the values chosen, and no other."
    assert "at the edge of what was tried" in others[0]


def test_unequal_budgets_are_said(tuned):
    results, rows = shown(tuned(without=[(8, 2e-3, 101)]))
    # The better rate of rank 8 has a seed without figures: what has all of its seeds is chosen.
    assert [row.overrides["optim.lr"] for row in rows if row.condition == "adapter"] == [1e-3, 1e-3]
    text = " ".join(results.tuning)
    assert "3 to 4 trials an arm, 1 more without figures" in text
    assert "unequal budgets (lora.r=8: 3 trials, values tried: 1; lora.r=16: 4 trials, values tried: 2)" in text


def test_an_arm_without_a_choice_is_named_and_left_out(tuned):
    results, rows = shown(tuned(without=[(8, 1e-3, 100), (8, 2e-3, 100)]))
    assert [row.overrides["lora.r"] for row in rows if row.condition == "adapter"] == [16]
    assert "Nothing was chosen yet for lora.r=8 (not shown)" in " ".join(results.tuning)


def test_seeds_that_tune_and_report_are_named(tuned):
    assert "Seeds 0 both tuned and report" in " ".join(shown(tuned(tuning=(0, 100)))[0].tuning)


def test_tuning_alone_shows_its_rows_and_its_choice(tuned):
    results, rows = shown(tuned(reporting=()))
    assert sum(row.condition == "adapter" for row in rows) == 4
    assert results.tuning[-1].endswith("Chosen: lora.r=8: optim.lr=0.002; lora.r=16: optim.lr=0.001.")


def test_without_tuning_trials_nothing_is_chosen(tuned):
    results, rows = shown(tuned(tuning=()))
    assert sum(row.condition == "adapter" for row in rows) == 4
    assert results.tuning == (
        "optim.lr was to be tuned, but no trial is of the validation split: all rows are shown, and none was chosen.",
    )


def test_the_report_has_it_everywhere(tuned, capsys):
    folder = tuned()
    assert main([str(folder), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["arms"], told["tuned"], len([row for row in told["rows"] if row["condition"] == "adapter"])) == (
        ["lora.r"],
        ["optim.lr"],
        2,
    )
    for name in ("table.md", "table.tex"):
        assert "Tuned for each lora.r" in (folder / "report" / name).read_text().replace("\\", "")
