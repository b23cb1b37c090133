"""What a sweep's folder says for whoever plans it again."""

import json
from pathlib import Path

from persona_exp.launch.planning import ledger
from persona_exp.launch.planning.bundles import Load, Terms, plan

FIRST, SECOND = "aaaaaaaaaaaa/seals/1.json", "bbbbbbbbbbbb/seals/1.json"


def told(folder: Path, seal: str, **facts: object) -> Load:
    path = folder / "trials" / seal
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(facts))
    (load,) = ledger.read(folder / "sweeps" / "x", [seal])
    return load


def test_loads_and_terms_come_back_as_they_were(tmp_path: Path) -> None:
    sweep = tmp_path / "sweeps" / "x"
    sweep.mkdir(parents=True)
    loads = [Load((FIRST,), "m", 7.5, 512.0, 99), Load((SECOND,), None, 3.0, reason="why")]
    ledger.write(sweep, loads)
    assert ledger.read(sweep, [SECOND, FIRST]) == loads[::-1]
    terms = Terms(8, 3, {"m": 10**10}, {"m": 4096.0}, None, True)
    kept = json.loads(json.dumps(ledger.options(terms, plan(loads, terms))))
    assert kept["together"] == [1, 1]
    assert ledger.terms_of(kept) == terms


def test_what_the_folder_does_not_know_is_told_by_the_seal(tmp_path: Path) -> None:
    assert told(tmp_path, FIRST, base="m", method="lora", engine="fused") == Load((FIRST,), "m", 1.0)
    base = told(tmp_path, "cccccccccccc/seals/1.json", base="m", method="none", engine="fused")
    assert (base.base, base.work) == ("m", 0.0)
    assert told(tmp_path, "dddddddddddd/seals/1.json", method="lora", engine="noop").brief
    assert ledger.read(tmp_path / "sweeps" / "x", [SECOND]) == [Load((SECOND,))]


def test_a_damaged_or_foreign_file_costs_no_more_than_the_weights(tmp_path: Path) -> None:
    sweep = tmp_path / "sweeps" / "x"
    sweep.mkdir(parents=True)
    for text in ("", "{", "[1]", '[{"base": "m"}]'):
        (sweep / ledger.NAME).write_text(text)
        assert ledger.read(sweep, [FIRST]) == [Load((FIRST,))]
    (sweep / ledger.NAME).write_text(json.dumps([{"seals": [FIRST], "base": "m", "work": 2.0, "of a later version": 1}]))
    assert ledger.read(sweep, [FIRST]) == [Load((FIRST,), "m", 2.0)]


def test_records_without_terms_have_trials_by_themselves() -> None:
    assert ledger.terms_of({"trials_per_task": 3}) == Terms(trials_per_task=3)
    assert ledger.terms_of({}) == Terms()
