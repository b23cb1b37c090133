"""The three tables. A golden file that is absent is written by the test, which then fails: read it before the next run."""

import csv
import io
from pathlib import Path

import pytest

from analysis.latex import escaped, latex
from analysis.markdown import markdown
from analysis.results import setting_keys
from analysis.sheet import csv_text
from analysis.statistics import Estimate
from analysis.table import caption, difference, interval, plain, warning
from tests.analysis.conftest import read

GOLDEN = Path(__file__).parent / "golden"


def tables(folder):
    results, rows = read(folder)
    keys, name = setting_keys(results.sweep), results.sweep.name
    return {"table.md": markdown(rows, keys, name, results.notes), "table.csv": csv_text(rows, keys), "table.tex": latex(rows, keys, name)}


@pytest.mark.parametrize("name", ["table.md", "table.csv", "table.tex"])
def test_golden(ranks, name):
    text = tables(ranks())[name]
    golden = GOLDEN / name
    if not golden.exists():
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text, encoding="utf-8")
        pytest.fail(f"{golden} was not there and has been written: read it, then run again")
    assert text == golden.read_text(encoding="utf-8")


def test_the_end_of_a_traceback_stands_in_the_report_once_for_each_kind_of_failure(runs):
    same = [runs.adapter({"lora.r": r}, status="failed", cause="ValueError", message="not finite") for r in (8, 16)]
    told = runs.adapter({"lora.r": 32}, status="failed", cause="input", message="no such book")
    for entry in (*same, told):
        text = "Traceback (most recent call last):\n" + "".join(f"  line {number}\n" for number in range(9)) + "ValueError: not finite\n"
        (runs.path / "trials" / entry["trial_id"] / "attempts" / "0001" / "traceback.txt").write_text(text)
    page = tables(runs.sweep(["lora.r"], [runs.base(), *same, told]))["table.md"]
    assert page.count("      ValueError: not finite") == 1
    assert "      line 8" not in page.split("- lora.r=16")[1]
    assert "line 1\n" not in page
    assert page.count("*failed (ValueError)*") == 4  # two tables
    assert "failed (input): no such book" in page


def test_validation_is_loud_everywhere(runs):
    found = tables(runs.sweep(["lora.r"], [runs.base(split="validation"), runs.adapter({"lora.r": 8}, split="validation")]))
    assert "**VALIDATION SPLIT" in found["table.md"].split("|")[0]
    assert "\\caption{\\textbf{VALIDATION SPLIT" in found["table.tex"]
    assert [row["split"] for row in csv.DictReader(io.StringIO(found["table.csv"]))] == ["validation"] * 3


@pytest.mark.parametrize(("split", "said"), [("validation", True), ("test", False)])
def test_who_was_stopped_by_the_split_that_is_told_is_named(runs, split, said):
    trials = [runs.base(split=split), runs.adapter({"lora.r": 8}, split=split, patience=3)]
    page = tables(runs.sweep(["lora.r"], trials))["table.md"]
    assert ("Early stopping chose adapters on it." in page) == said
    assert "an adapter is the best of its training by validation loss" in " ".join(page.split())


def test_test_split_needs_no_warning(ranks):
    assert "VALIDATION" not in "".join(tables(ranks()).values())


def test_several_seeds_and_one_that_failed(runs):
    trials = [runs.adapter({"lora.r": 8, "seed": seed}, status="failed" if seed == 2 else "finished", cause="oom") for seed in range(3)]
    found = tables(runs.sweep(["lora.r", "seed"], [runs.base(), *trials]))
    assert "| 2 of 3 |" in found["table.md"]
    assert "lora.r=8, seed=2 (trial" in found["table.md"]
    assert "over seeds where a setting has several" in found["table.md"]
    last = list(csv.DictReader(io.StringIO(found["table.csv"])))[-1]
    assert (last["n_seeds"], last["planned_seeds"], last["seeds"], last["status"]) == ("2", "3", "0 1", "evaluated; failed")
    assert float(last["perplexity_seed_min"]) < float(last["perplexity"]) < float(last["perplexity_seed_max"])


def test_models_are_not_ranked_by_perplexity(runs):
    models = ["small", "large"]
    trials = [*(runs.base(model=one) for one in models), *(runs.adapter({"model": one}, model=one) for one in models)]
    text = tables(runs.sweep(["model"], trials))["table.md"]
    assert "compare bits/byte" in text
    main = text.split("## Further")[0]
    assert main.count("**") == 2


def test_swept_data_stand_in_the_table(runs):
    trials = [
        *(runs.base(data=one) for one in ("aaaaaaaaaaaa", "bbbbbbbbbbbb")),
        runs.adapter({"corpus": "a"}, data="aaaaaaaaaaaa"),
        runs.adapter({"corpus": "b"}, data="bbbbbbbbbbbb"),
    ]
    found = tables(runs.sweep(["corpus"], trials))
    assert "| data " in found["table.md"]
    assert found["table.md"].count("| bbbbbbbbbbbb |") == 6
    assert "Data differ between settings" in found["table.tex"]


def test_swept_evaluations_are_not_ranked(runs):
    key = "evaluation.max_new_tokens"
    trials = [
        entry for length in (8, 16) for entry in (runs.base(max_new_tokens=length), runs.adapter({key: length}, max_new_tokens=length))
    ]
    text = tables(runs.sweep([key], trials))["table.md"]
    assert f"| {key} " in text
    assert "**" not in text
    assert "Evaluations differ between settings" in text


def test_a_pipe_in_a_value_does_not_break_the_table(runs):
    text = tables(runs.sweep(["persona.name"], [runs.base(), runs.adapter({"persona.name": "a|b_c"})]))
    assert "a\\|b_c" in text["table.md"]
    assert "a\\textbar{}b\\_c" in text["table.tex"]


def test_nothing_evaluated(runs):
    found = tables(runs.sweep(["lora.r"], [runs.adapter({"lora.r": 8}, status="failed", cause="oom")]))
    assert "no trial has been evaluated" in found["table.md"]
    assert "*failed (oom)*" in found["table.md"]
    assert "\\emph{failed (oom)}" in found["table.tex"]
    assert next(csv.DictReader(io.StringIO(found["table.csv"])))["perplexity"] == ""


def test_few_replies_are_warned_of(runs):
    rows = read(runs.sweep(["lora.r"], [runs.adapter({"lora.r": 8}, count=10)]))[1]
    assert "Fewer than 30 replies: intervals are too narrow." in caption(rows, "x")
    assert warning(rows) is None


@pytest.mark.parametrize(
    ("estimate", "wanted"),
    [
        (Estimate(-1.2, -2.31, -0.15), "−1.20 [−2.31, −0.15]"),
        (Estimate(0.5, -0.1, 1.1), "+0.50 [−0.10, +1.10]†"),
        (None, "–"),
    ],
)
def test_difference(estimate, wanted):
    assert difference(estimate) == wanted


def test_interval_and_plain():
    assert interval(Estimate(74.214, 70.1, 78.333), 2) == "74.21 [70.10, 78.33]"
    assert plain(12345.678, 2) == "12,346"


def test_escaped():
    assert escaped("50 % of a_b & {c} ~^#$\\<>|") == (
        "50 \\% of a\\_b \\& \\{c\\} \\textasciitilde{}\\textasciicircum{}\\#\\$\\textbackslash{}\\textless{}\\textgreater{}\\textbar{}"
    )
