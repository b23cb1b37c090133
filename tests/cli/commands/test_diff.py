"""`diff` of trials and of sweeps. Golden files as in test_why.py."""

import json

import pytest

from tests.cli.conftest import SWEEP, Desk, compare, write

A, B = "aaaaaaaaaaaa", "bbbbbbbbbbbb"
# Data that differ in what is trained on, measured on the same text.
TEXT = {"test.jsonl": "7e57"}


def two(desk: Desk) -> None:
    """Two trials that differ in everything."""
    desk.trial(A, [{"status": "finished", "hardware": {"gpu": "A100"}}], r=8)
    other = {"status": "finished", "code": "e" * 64, "versions": {"python": "3.11.9", "torch": "2.14.0"}, "hardware": {"gpu": "H100"}}
    desk.trial(B, [other], r=16, code="e" * 64, data="feed" * 3)
    desk.evaluation(A, "eaaaaaaaaaaa", 42.0)
    desk.evaluation(B, "ebbbbbbbbbbb", 40.5)
    desk.evaluation(B, "ebase", 50.0, "base")
    for data, size in (("dada" * 3, 10), ("feed" * 3, 12)):
        write(desk.path / "data" / data / "manifest.json", json.dumps({"counts": {"train": size, "test": 4}, "files": TEXT}))
    for code, line in (("c" * 12, "lr = 1"), ("e" * 12, "lr = 2\nwarmup = 3")):
        write(desk.path / "code" / code / "persona_exp" / "sft.py", f"import x\n{line}\n")
        write(desk.path / "code" / code / "run.py", "same\n")
        write(desk.path / "code" / code / "origin.json", json.dumps({"commit": code * 2, "changed": code[0] == "e"}))
    write(desk.path / "code" / ("e" * 12) / "persona_exp" / "new.py", "one\n")


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("diff-trials", (A, B)), ("diff-code", (A, B, "--code")), ("diff-itself", (A, A)), ("diff-sweeps", (SWEEP, "other"))],
)
def test_golden(desk, persona_exp, name, arguments):
    two(desk)
    desk.sweep({A: 8})
    desk.trial("dddddddddddd", r=8)
    desk.evaluation("dddddddddddd", "eddddddddddd", 41.0)
    desk.sweep({B: 16, "dddddddddddd": 8, "cccccccccccc": 32}, "other-99999999")
    code, out, _ = persona_exp("diff", *arguments)
    assert code == 0
    compare(name, out.replace(str(desk.path), "runs"))


def test_json(desk, persona_exp):
    two(desk)
    answer = json.loads(persona_exp("diff", A, B, "--json")[1])
    assert answer["config"] == {"lora.r": [8, 16]}
    assert [one["file"] for one in answer["code"]["files"]] == ["persona_exp/new.py", "persona_exp/sft.py"]
    assert answer["environment"]["torch"] == ["2.13.0", "2.14.0"]
    assert answer["results"]["adapter, test: perplexity"] == {"a": 42.0, "b": 40.5, "difference": -1.5}
    assert answer["data"]["manifest"] == {"counts.train": [10, 12]}


def test_a_snapshot_that_is_gone_is_said(desk, persona_exp):
    two(desk)
    for path in sorted((desk.path / "code" / ("e" * 12)).rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    (desk.path / "code" / ("e" * 12)).rmdir()
    assert "the copy of B is not kept" in persona_exp("diff", A, B)[1]


def test_a_trial_and_a_sweep_do_not_compare(desk, persona_exp):
    two(desk)
    desk.sweep({A: 8})
    code, _, error = persona_exp("diff", SWEEP, B)
    assert (code, error.count("\n")) == (2, 1)
