"""The three tables. A golden file that is absent is written by the test, which then fails: read it before the next run."""

import csv
import io
from pathlib import Path

import pytest

from analysis.bootstrap_intervals import Estimate
from analysis.csv_table import csv_text
from analysis.latex_table import escaped, latex
from analysis.markdown_report import markdown
from analysis.sweep_results import setting_keys
from analysis.table_caption import caption, warning
from analysis.table_columns import difference, interval, plain
from tests.analysis.conftest import EVALUATION, TRAINING, read

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


def test_unlike_precision_of_evaluations_is_said(runs):
    trials = [
        runs.base(precision="float32"),
        *(runs.adapter({"lora.r": r}, precision=way) for r, way in ((8, "float32"), (16, "bfloat16"))),
    ]
    found = tables(runs.sweep(["lora.r"], trials))
    assert "Evaluations were computed in unlike precision" in found["table.md"]
    lines = list(csv.DictReader(io.StringIO(found["table.csv"])))
    assert [line["evaluation_precision"] for line in lines] == ["float32", "float32", "float32", "bfloat16"]


def test_the_end_of_a_traceback_stands_in_the_report_once_for_each_kind_of_failure(runs):
    same = [runs.adapter({"lora.r": r}, status="failed", cause="ValueError", message="not finite") for r in (8, 16)]
    on_input = runs.adapter({"lora.r": 32}, status="failed", cause="input", message="no such book")
    for entry in (*same, on_input):
        text = "Traceback (most recent call last):\n" + "".join(f"  line {number}\n" for number in range(9)) + "ValueError: not finite\n"
        (runs.path / "trials" / entry["trial_id"] / "attempts" / "0001" / "traceback.txt").write_text(text)
    page = tables(runs.sweep(["lora.r"], [runs.base(), *same, on_input]))["table.md"]
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
def test_early_stopping_on_the_split_of_the_table_is_named(runs, split, said):
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


def test_replies_that_were_cut_or_loop_stand_beside_the_measures_of_text(runs):
    older = runs.adapter({"lora.r": 8, "seed": 0})
    newer = [runs.adapter({"lora.r": 16, "seed": seed}, truncated_replies=20 - seed, looping_replies=3) for seed in (0, 1)]
    found = tables(runs.sweep(["lora.r", "seed"], [runs.base(truncated_replies=23, looping_replies=19), older, *newer]))
    for file in ("table.md", "table.tex"):
        assert "generated replies up to 23 of 24 were cut at" in found[file]
        assert "and up to 19 of 24 say the same over and over: ROUGE-L" in found[file]
    header, _, *rows = [line for line in found["table.md"].split("## Further measures")[1].splitlines() if line.startswith("|")]
    places = [[one.strip() for one in header.split("|")].index(name) for name in ("cut replies", "looping replies")]
    assert [[line.split("|")[place].strip() for place in places] for line in rows] == [
        ["23 of 24", "19 of 24"],
        ["23 of 24", "19 of 24"],
        ["–", "–"],
        ["39 of 48", "6 of 48"],
    ]


def test_replies_that_were_all_ended_need_no_sentence(runs):
    trials = [runs.base(truncated_replies=0, looping_replies=0), runs.adapter({"lora.r": 8})]
    assert "generated replies up to" not in tables(runs.sweep(["lora.r"], trials))["table.md"]


def test_swept_evaluations_are_not_ranked(runs):
    key = "evaluation.max_new_tokens"
    trials = [
        entry for length in (8, 16) for entry in (runs.base(max_new_tokens=length), runs.adapter({key: length}, max_new_tokens=length))
    ]
    text = tables(runs.sweep([key], trials))["table.md"]
    assert f"| {key} " in text
    assert "**" not in text
    assert "Evaluations differ between settings" in text


def test_unlike_precisions_are_named_and_said(runs):
    trials = [runs.base(quantisation=one) for one in ("nf4", "none")]
    trials += [runs.adapter({"method": name}, quantisation=one) for name, one in (("qlora", "nf4"), ("lora", "none"))]
    found = tables(runs.sweep(["method"], trials))
    for name in ("base model (nf4)", "base model (not quantised)", "base + system prompt (nf4)"):
        assert found["table.md"].count(f"| {name} ") == 2
    assert "base + system (not quantised) & " in found["table.tex"]
    assert "Precisions differ: each Δ is from the base row of the adapter's own." in found["table.md"]
    named = [row["name"] for row in csv.DictReader(io.StringIO(found["table.csv"]))]
    assert len(set(named[:4])) == 4


def test_a_setting_without_a_base_of_its_precision_has_a_dash_and_a_sentence(runs):
    trials = [runs.base(quantisation="none")]
    trials += [runs.adapter({"method": name}, quantisation=one) for name, one in (("qlora", "nf4"), ("lora", "none"))]
    text = tables(runs.sweep(["method"], trials))["table.md"]
    assert "1 of 2 settings have no Δ: the base model with the system prompt was not evaluated at that precision" in text
    row = next(line for line in text.splitlines() if "| qlora" in line)
    assert row.split("|")[5].strip() == "–"


def test_older_rows_are_marked_and_never_best(runs):
    old, new = runs.adapter({"lora.r": 4}, level=3.0, version=TRAINING - 1), [runs.adapter({"lora.r": r}, level=r / 2) for r in (8, 10)]
    found = tables(runs.sweep(["lora.r"], [runs.base(), old, *new]))
    row = next(line for line in found["table.md"].splitlines() if line.startswith("| adapter‡"))
    assert "**" not in row
    assert found["table.md"].count("**") > 0
    assert f"‡ made by an older version (training version {TRAINING - 1}, now {TRAINING})" in found["table.md"]
    assert "Rows of older versions (1) are in no other row's mean, Δ or ranking, and not in the figure." in found["table.md"]
    assert "adapter\\textsuperscript{\\textdaggerdbl} & 4" in found["table.tex"]
    rows = list(csv.DictReader(io.StringIO(found["table.csv"])))
    assert [one["older"] for one in rows] == ["", "", f"training version {TRAINING - 1}, now {TRAINING}", "", ""]
    assert [one["training_version"] for one in rows[2:]] == [str(TRAINING - 1), str(TRAINING), str(TRAINING)]


def test_a_sweep_of_older_versions_alone_says_so_and_is_ranked_within_itself(runs):
    trials = [runs.adapter({"lora.r": r}, level=r / 2, version=TRAINING - 1) for r in (8, 10)]
    text = tables(runs.sweep(["lora.r"], [runs.base(), *trials]))["table.md"]
    assert text.count("| adapter‡") == 4
    assert "**" in text
    assert "‡ made by an older version" in text
    assert "Rows of older versions" not in text


def test_an_older_evaluation_shares_a_table_whatever_its_settings_were(runs):
    old = {"EVALUATION_VERSION": EVALUATION - 1, "max_new_tokens": 32}
    trials = [runs.base(), runs.adapter({"lora.r": 8}), runs.adapter({"lora.r": 16}, level=3, **old)]
    text = tables(runs.sweep(["lora.r"], trials))["table.md"]
    row = next(line for line in text.splitlines() if line.startswith("| adapter‡"))
    assert "**" not in row
    assert row.split("|")[5].strip() == "–"
    assert f"evaluation version {EVALUATION - 1}, now {EVALUATION}" in text


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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lr ≤ 1e-3, r ≥ 8", "lr $\\leq$ 1e-3, r $\\geq$ 8"),
        ("Élodie, naïve façade", "\\'{E}lodie, na\\\"{i}ve fa\\c{c}ade"),
        ("Łódź ±1 μ", "\\L{}\\'{o}d\\'{z} $\\pm$1 $\\mu$"),
        ("漢字 🙂", "U+6F22U+5B57 U+1F642"),
        ("a\x1b[2J", "a [2J"),
        ("“x” — y…", "``x'' --- y\\dots{}"),
    ],
)
def test_latex_is_ascii_that_pdflatex_knows(text, expected):
    assert escaped(text) == expected
    assert escaped(text).isascii()


def test_what_latex_has_no_letter_for_is_said(ranks):
    _, rows = read(ranks())
    text = latex(rows, ["lora.r"], "漢-≤")
    assert "% U+6F22 is 漢, for which pdflatex has no letter" in text.splitlines()
    assert all(line.isascii() for line in text.splitlines() if not line.startswith("%"))
