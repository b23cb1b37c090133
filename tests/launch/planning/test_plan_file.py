"""What a sweep's folder says for whoever plans it again."""

import json
from pathlib import Path

from persona_exp.launch.planning import plan_file
from persona_exp.launch.planning.bundle_plan import Terms, TrialCost, plan

FIRST, SECOND = "aaaaaaaaaaaa/seals/1.json", "bbbbbbbbbbbb/seals/1.json"


def from_seal(folder: Path, seal: str, **facts: object) -> TrialCost:
    path = folder / "trials" / seal
    path.parent.mkdir(parents=True)
    whole = {"config": "config.yaml", "data_id": "d" * 12, "code_folder": "c" * 12, "evaluations": {}}
    path.write_text(json.dumps({**whole, **facts}))
    (load,) = plan_file.read(folder / "sweeps" / "x", [seal])
    return load


def test_loads_and_terms_come_back_as_they_were(tmp_path: Path) -> None:
    sweep = tmp_path / "sweeps" / "x"
    sweep.mkdir(parents=True)
    costs = [TrialCost((FIRST,), "m", 7.5, 512.0, 99), TrialCost((SECOND,), None, 3.0, reason="why")]
    plan_file.write(sweep, costs)
    assert plan_file.read(sweep, [SECOND, FIRST]) == costs[::-1]
    terms = Terms(8, 3, {"m": 10**10}, {"m": 4096.0}, None, True)
    kept = json.loads(json.dumps(plan_file.options(terms, plan(costs, terms))))
    assert kept["together"] == [1, 1]
    # As submissions have always had it.
    assert kept["terms"]["lane_bytes"] == {"m": 10**10}
    assert plan_file.terms_of(kept) == terms


def test_what_the_folder_does_not_know_is_told_by_the_seal(tmp_path: Path) -> None:
    assert from_seal(tmp_path, FIRST, base="m", method="lora", engine="fused") == TrialCost((FIRST,), "m", 1.0)
    base = from_seal(tmp_path, "cccccccccccc/seals/1.json", base="m", method="none", engine="fused")
    assert (base.base, base.work) == ("m", 0.0)
    assert from_seal(tmp_path, "dddddddddddd/seals/1.json", method="lora", engine="noop").brief
    assert plan_file.read(tmp_path / "sweeps" / "x", [SECOND]) == [TrialCost((SECOND,))]


def test_a_damaged_or_foreign_file_costs_no_more_than_the_weights(tmp_path: Path) -> None:
    sweep = tmp_path / "sweeps" / "x"
    sweep.mkdir(parents=True)
    for text in ("", "{", "[1]", '[{"base": "m"}]'):
        (sweep / plan_file.NAME).write_text(text)
        assert plan_file.read(sweep, [FIRST]) == [TrialCost((FIRST,))]
    (sweep / plan_file.NAME).write_text(json.dumps([{"seals": [FIRST], "base": "m", "work": 2.0, "of a later version": 1}]))
    assert plan_file.read(sweep, [FIRST]) == [TrialCost((FIRST,), "m", 2.0)]


def test_records_without_terms_have_trials_by_themselves() -> None:
    assert plan_file.terms_of({"trials_per_task": 3}) == Terms(trials_per_task=3)
    assert plan_file.terms_of({}) == Terms()
