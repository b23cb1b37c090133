"""Figures belong to the evaluation that was asked for: `show`, `diff` and `status` where a trial was measured more than once."""

import csv
import io
import json
import re
from types import SimpleNamespace

import pytest

from persona_exp.cli.comparison_facts import _evaluation_caps
from persona_exp.evaluation.evaluation_id import EVALUATION_VERSION
from persona_exp.training import TRAINING_VERSION
from tests.cli.conftest import Desk, write

A, B, BASE = "aaaaaaaaaaaa", "bbbbbbbbbbbb", "0ba5e0ba5e00"
FULL, SHORT = "full-11111111", "short-22222222"
# By folder order the other sweep's evaluation would come last, of one trial this, of the other that.
OWED = {FULL: {A: "0000000000fa", B: "ffffffffffb0"}, SHORT: {A: "ffffffffffa0", B: "0000000000fb"}}
FIGURES = {FULL: {A: 633.4, B: 611.2}, SHORT: {A: 654.9, B: 640.5}}
ITEMS = {FULL: 100, SHORT: 50}


@pytest.fixture
def measured_twice(desk: Desk) -> Desk:
    """Two sweeps over the same trials, one of which scored half the replies."""
    for trial, rank in ((A, 8), (B, 16)):
        desk.trial(trial, [{"status": "finished"}], r=rank)
        for sweep, owed in OWED.items():
            desk.evaluation(trial, owed[trial], FIGURES[sweep][trial], n=12 * ITEMS[sweep], likelihood_items=ITEMS[sweep])
    desk.trial(BASE, [{"status": "finished"}])
    for sweep, eval_id, figure in ((FULL, "ba5e000000f0", 700.0), (SHORT, "ba5e00000050", 720.0)):
        desk.evaluation(BASE, eval_id, figure, "base+system", n=12 * ITEMS[sweep], likelihood_items=ITEMS[sweep])
        desk.sweep({A: 8, B: 16}, sweep, owed=OWED[sweep], bases={BASE: {"base+system": eval_id}})
    return desk


@pytest.mark.parametrize(("sweep", "other"), [(FULL, SHORT), (SHORT, FULL)])
def test_each_sweep_shows_its_own_figures(measured_twice, persona_exp, sweep, other):
    out = persona_exp("show", sweep)[1]
    for trial in (A, B):
        assert f"{FIGURES[sweep][trial]:.3f}" in out
        assert f"{FIGURES[other][trial]:.3f}" not in out
    assert f"likelihood_items={ITEMS[sweep]}" in out
    for command in ("show", "status"):
        answer = json.loads(persona_exp(command, sweep, "--json")[1])
        found = {one["trial_id"]: one["results"] for one in answer["trials"]}
        assert found.pop(BASE)["base+system, test: perplexity"] == (700.0 if sweep == FULL else 720.0)
        assert {one: results["adapter, test: perplexity"] for one, results in found.items()} == FIGURES[sweep]
        assert all(len(results) == 2 for results in found.values())


@pytest.mark.parametrize("sweep", [FULL, SHORT])
def test_what_this_sweep_asked_for_alone_decides_whether_it_is_there(measured_twice, persona_exp, sweep):
    measured_twice.sweep({A: 8}, "third-33333333", owed={A: "333333333333"})
    assert {one["status"] for one in json.loads(persona_exp("status", sweep, "--json")[1])["trials"]} == {"finished"}
    (missing,) = json.loads(persona_exp("status", "third", "--json")[1])["trials"]
    assert (missing["status"], missing["results"]) == ("sealed", {})
    row = next(line for line in persona_exp("show", "third")[1].splitlines() if line.startswith("lora.r=8"))
    assert not re.search(r"\d{3}\.\d", row)


def test_a_trial_shows_all_its_evaluations_and_no_header_twice(measured_twice, persona_exp):
    out = persona_exp("show", A)[1]
    header = next(line for line in out.splitlines() if line.startswith("Results"))
    names = [name for name in re.split(r"\s{2,}", header)[1:] if name != "n"]
    assert names == ["adapter, test (1)", "adapter, test (2)"]
    listed = {line.split()[-1]: line for line in out.partition("Evaluations")[2].partition("Results")[0].splitlines() if "(" in line}
    assert listed.keys() == {OWED[sweep][A] for sweep in (FULL, SHORT)}
    for sweep in (FULL, SHORT):
        assert sweep in listed[OWED[sweep][A]]
        assert f"likelihood_items={ITEMS[sweep]}" in listed[OWED[sweep][A]]
    values = next(line for line in out.splitlines() if line.startswith("  perplexity"))
    assert values.split()[1:] == ["654.900", "633.400", "600", "/", "1200", "tokens"]
    answer = json.loads(persona_exp("show", A, "--json")[1])["evaluations"]
    assert [(one["asked_by"], one["metrics"]["perplexity"]["value"]) for one in answer] == [([SHORT], 654.9), ([FULL], 633.4)]
    assert len({one["name"] for one in answer}) == 2


def test_what_an_evaluation_counted_follows_its_figures(desk, persona_exp):
    desk.trial(A)
    desk.evaluation(A, "eeeeeeeeeeee", 40.0)
    path = desk.path / "trials" / A / "evaluations" / "eeeeeeeeeeee" / "metrics.json"
    counts = {"available_items": 40, "spoken_items": 24, "truncated_replies": 23, "cut_replies": 0}
    write(path, json.dumps({**json.loads(path.read_text()), "counts": counts}))
    out = persona_exp("show", A)[1]
    assert re.search(r"^  truncated_replies +23$", out, re.MULTILINE)
    assert "cut_replies" not in out
    assert "available_items" not in out


def test_diff_of_trials_pairs_what_was_made_alike(measured_twice, persona_exp):
    measured_twice.evaluation(B, "abcdabcdabcd", 9.0, max_new_tokens=8)
    answer = json.loads(persona_exp("diff", A, B, "--json")[1])
    found = {key: value for key, value in answer["results"].items() if key.endswith("perplexity")}
    assert sorted(found) == [
        "adapter, test, likelihood_items=100, max_new_tokens=64: perplexity",
        "adapter, test, likelihood_items=100, max_new_tokens=8: perplexity",
        "adapter, test, likelihood_items=50, max_new_tokens=64: perplexity",
    ]
    values = sorted(found.values(), key=lambda one: one["b"])
    assert values[0] == {"a": None, "b": 9.0, "difference": None}
    assert [(one["a"], one["b"]) for one in values[1:]] == [(633.4, 611.2), (654.9, 640.5)]
    assert values[1]["difference"] == pytest.approx(611.2 - 633.4)
    assert answer["evaluations"]["only_b"] == ["adapter, test, likelihood_items=100, max_new_tokens=8"]
    assert "only in B: adapter, test, likelihood_items=100, max_new_tokens=8" in persona_exp("diff", A, B)[1]


def test_diff_of_sweeps_that_measured_otherwise_has_no_difference(measured_twice, persona_exp):
    answer = json.loads(persona_exp("diff", FULL, SHORT, "--json")[1])
    assert answer["trials"] == {"only_a": [], "only_b": []}
    assert answer["results"]["lora.r=8: adapter, test: perplexity"] == {"a": 633.4, "b": 654.9, "difference": None}
    assert answer["results"]["base model: base+system, test: perplexity"] == {"a": 700.0, "b": 720.0, "difference": None}
    why = "measured differently: likelihood_items=100 in A, likelihood_items=50 in B"
    assert set(answer["evaluations"]["not_compared"].values()) == {why}
    assert f"no difference ({why})" in persona_exp("diff", FULL, SHORT)[1]
    same = json.loads(persona_exp("diff", FULL, FULL, "--json")[1])["results"]
    assert {one["difference"] for one in same.values()} == {0.0}


def test_a_trial_that_stands_in_both_sweeps_is_in_both(measured_twice, persona_exp):
    """Also where the other sweep names it otherwise."""
    folder = measured_twice.sweep({A: 8}, "seeds-44444444", owed=OWED[FULL])
    asked = folder / "sweep.yaml"
    write(asked, asked.read_text().replace("lora.r: 8", "seed: 0").replace("- lora.r", "- seed"))
    answer = json.loads(persona_exp("diff", FULL, "seeds", "--json")[1])
    assert answer["results"]["lora.r=8 / seed=0: adapter, test: perplexity"] == {"a": 633.4, "b": 633.4, "difference": 0.0}
    assert answer["trials"] == {"only_a": ["base model", "lora.r=16"], "only_b": []}


def test_figures_over_another_number_of_tokens_have_no_difference(measured_twice, persona_exp):
    for trial, n in ((A, 1200), (B, 1300)):
        measured_twice.evaluation(trial, "abababababab", 50.0, split="validation", n=n)
    answer = json.loads(persona_exp("diff", A, B, "--json")[1])
    (name,) = answer["evaluations"]["other_counts"]
    assert answer["evaluations"]["other_counts"] == {name: ["perplexity"]}
    assert answer["results"][f"{name}: perplexity"]["difference"] is None
    assert answer["results"][f"{name}: rougeL"]["difference"] == 0.0


def test_other_data_have_no_difference_unless_the_measured_text_is_the_same(desk, persona_exp):
    for trial, data in ((A, "dada" * 3), (B, "feed" * 3)):
        desk.trial(trial, data=data)
        desk.evaluation(trial, "eeeeeeeeeeee", 40.0)
    assert "no difference (measured on other data): adapter, test" in persona_exp("diff", A, B)[1]
    for data, test in (("dada" * 3, "1"), ("feed" * 3, "1")):
        write(desk.path / "data" / data / "manifest.json", json.dumps({"files": {"test.jsonl": test, "train.jsonl": data}}))
    assert "no difference" not in persona_exp("diff", A, B)[1]


def test_base_models_of_one_sweep_have_names_of_their_own(desk, persona_exp):
    for trial, quantisation, figure in ((A, "nf4", 71.0), (B, "none", 70.0)):
        desk.trial(trial, [{"status": "finished"}], quantisation=quantisation)
        desk.evaluation(trial, "ba5e00000000", figure, "base+system")
    desk.sweep({}, bases={one: {"base+system": "ba5e00000000"} for one in (A, B)})
    out = persona_exp("show", "lora")[1]
    assert re.search(r"^base model \(nf4\) .* 71\.000", out, re.MULTILINE)
    assert re.search(r"^base model \(not quantised\) .* 70\.000", out, re.MULTILINE)
    assert out.count("\nbase model ") == 2
    answer = json.loads(persona_exp("diff", "lora", "lora", "--json")[1])
    assert [one["a"] for key, one in answer["results"].items() if key.endswith("perplexity")] == [71.0, 70.0]


def test_base_models_of_unlike_precision_have_no_difference(desk, persona_exp):
    for trial, quantisation, figure, name in ((A, "nf4", 71.0, "nf4-11111111"), (B, "none", 70.0, "none-22222222")):
        desk.trial(trial, [{"status": "finished"}], quantisation=quantisation)
        desk.evaluation(trial, "ba5e00000000", figure, "base+system")
        desk.sweep({}, name, bases={trial: {"base+system": "ba5e00000000"}})
    why = "another base model or precision: nf4 in A, not quantised in B"
    for arguments in (("nf4-", "none-"), (A, B)):
        answer = json.loads(persona_exp("diff", *arguments, "--json")[1])
        assert [one["difference"] for one in answer["results"].values()] == [None, None], arguments
        assert list(answer["evaluations"]["not_compared"].values()) == [why]
        assert f"no difference ({why})" in persona_exp("diff", *arguments)[1]
    # A sweep may ask just this of adapters.
    for trial, figure in ((A, 42.0), (B, 40.0)):
        desk.evaluation(trial, "adadadadadad", figure)
    answer = json.loads(persona_exp("diff", A, B, "--json")[1])
    assert answer["results"]["adapter, test: perplexity"]["difference"] == -2.0


@pytest.fixture
def old_and_new(desk: Desk) -> Desk:
    """The same command by an older training version, and by this one; the base model by an older evaluation."""
    desk.trial(A, [{"status": "finished"}], version=TRAINING_VERSION - 1)
    desk.trial(B, [{"status": "finished"}])
    for trial, figure in ((A, 50.0), (B, 40.0)):
        desk.evaluation(trial, f"e{trial}"[:12], figure)
    desk.sweep({A: 8}, "old-11111111")
    desk.sweep({B: 8}, "new-22222222")
    return desk


def test_a_trial_of_an_older_training_version_is_shown_as_such_and_never_paired(old_and_new, persona_exp):
    older = f"training version {TRAINING_VERSION - 1}, now {TRAINING_VERSION}"
    for arguments in (("show", "old"), ("status", "old"), ("status",), ("show", A), ("why", A), ("diff", "old", "new"), ("diff", A, B)):
        assert older in persona_exp(*arguments)[1], arguments
    for arguments in (("show", "new"), ("status", "new"), ("show", B), ("why", B), ("diff", "new", "new")):
        assert not re.search("older: |older version ", persona_exp(*arguments)[1]), arguments
    for pair, name in (((A, B), "adapter, test: perplexity"), (("old", "new"), "lora.r=8: adapter, test: perplexity")):
        answer = json.loads(persona_exp("diff", *pair, "--json")[1])
        assert answer["results"][name] == {"a": 50.0, "b": 40.0, "difference": None}
        assert answer["versions"] == {"a": older, "b": ""}
    assert json.loads(persona_exp("status", "old", "--json")[1])["trials"][0]["older"] == older
    assert {one["sweep"]: one["older"] for one in json.loads(persona_exp("status", "--json")[1])["sweeps"]} == {
        "old-11111111": older,
        "new-22222222": None,
    }


def test_an_older_evaluation_is_shown_as_such_and_never_paired(old_and_new, persona_exp, monkeypatch):
    from persona_exp.evaluation import evaluation_id

    old_and_new.evaluation(B, "e2e2e2e2e2e2", 41.0, EVALUATION_VERSION=EVALUATION_VERSION + 1)
    old_and_new.sweep({B: 8}, "newest-33333333", owed={B: "e2e2e2e2e2e2"})
    monkeypatch.setattr(evaluation_id, "EVALUATION_VERSION", EVALUATION_VERSION + 1)
    older = f"evaluation version {EVALUATION_VERSION}, now {EVALUATION_VERSION + 1}"
    for arguments in (("show", "new-"), ("status", "new-"), ("show", B), ("why", B), ("diff", "new-", "newest")):
        assert older in persona_exp(*arguments)[1], arguments
    assert "older: " not in persona_exp("show", "newest")[1]
    answer = json.loads(persona_exp("diff", "new-", "newest", "--json")[1])
    assert answer["results"]["lora.r=8: adapter, test: perplexity"] == {"a": 40.0, "b": 41.0, "difference": None}
    names = [one["name"] for one in json.loads(persona_exp("show", B, "--json")[1])["evaluations"]]
    assert names == [f"adapter, test, evaluation version {version}" for version in (EVALUATION_VERSION, EVALUATION_VERSION + 1)]


def test_an_evaluation_in_anothers_folder_is_refused(measured_twice, persona_exp):
    folder = measured_twice.path / "trials" / A / "evaluations"
    (folder / OWED[FULL][A]).rename(folder / "abcabcabcabc")
    code, out, _ = persona_exp("show", A)
    assert code == 0
    assert "is of evaluation" in out


@pytest.mark.long
@pytest.mark.usefixtures("built")
def test_two_real_sweeps_over_the_same_trials_show_their_own_figures(desk, persona_exp, run_py):
    asked = ("-m", "model=tiny", "lora.r=4,8", "train.max_steps=2", "evaluation.generated_items=1", "evaluation.max_new_tokens=2")
    found = {}
    for items in (4, 8):
        done = run_py(*asked, f"evaluation.likelihood_items={items}")
        assert done.returncode == 0, done.stdout + done.stderr
        (name,) = {path.name for path in (desk.path / "sweeps").iterdir()} - set(found)
        rows = csv.DictReader(io.StringIO((desk.path / "sweeps" / name / "report" / "table.csv").read_text()))
        found[name] = {row["lora.r"]: float(row["perplexity"]) for row in rows if row["condition"] == "adapter"}
    assert len({value for one in found.values() for value in one.values()}) == 4
    for name, figures in found.items():
        trials = json.loads(persona_exp("show", name, "--json")[1])["trials"]
        shown = {str(one["overrides"]["lora.r"]): one["results"]["adapter, test: perplexity"] for one in trials if one["role"] == "adapter"}
        assert shown == pytest.approx(figures, rel=1e-4)
    differences = json.loads(persona_exp("diff", *found, "--json")[1])["results"]
    assert {one["difference"] for one in differences.values()} == {None}


@pytest.mark.parametrize(
    ("swept", "shown"),
    [
        ((), {"evaluation.likelihood_items": "6,4", "evaluation.max_length": "1024"}),
        (("evaluation.likelihood_items",), {"evaluation.max_length": "1024"}),
    ],
)
def test_a_sweep_is_said_to_be_measured_with_what_its_own_evaluations_were(swept, shown):
    settings = [{"likelihood_items": items, "max_length": 1024} for items in (6, 4)]
    found = [SimpleNamespace(evaluation=SimpleNamespace(settings=one)) for one in settings]
    assert _evaluation_caps(found, swept) == shown
