"""`persona-exp replies`: what it shows in terminals of any width, and what it does not let through."""

import json
import shutil
from pathlib import Path

import pytest
from rich.cells import cell_len

from persona_exp.cli.text.reply_text import wrapped
from tests.cli.conftest import compare

OLDER = Path(__file__).parents[2] / "golden" / "older_runs" / "v3"
SWEEP = "lora.r=2,4,seed=0,1-434d7be8"


@pytest.fixture
def older(desk):
    shutil.copytree(OLDER, desk.path)
    return desk.path


@pytest.mark.parametrize("columns", ["60", "120"])
def test_replies_of_a_trial_in_terminals_of_any_width(older, persona_exp, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    code, text, _ = persona_exp("replies", "6783f48515d3")
    assert code == 0
    assert max(map(cell_len, text.splitlines())) <= int(columns)
    compare(f"replies-{columns}", text)


def test_a_sweep_shows_the_same_prompts_across_its_trials(older, persona_exp):
    answer = json.loads(persona_exp("replies", SWEEP, "--json", "--limit", "1")[1])
    (one,) = answer["comparisons"]
    assert (one["split"], one["settings"]["decoding"], one["prompts"]) == ("test", "greedy", 2)
    assert [column["condition"] for column in one["columns"]][:1] == ["base+system"]
    (prompt,) = one["shown"]
    assert [reply["eval_id"] for reply in prompt["replies"]] == [column["eval_id"] for column in one["columns"]]
    assert all(column["looping_replies"] == 0 and column["truncated_replies"] == 2 for column in one["columns"])


def test_of_many_trials_some_are_shown_and_the_others_counted(older, persona_exp):
    text = persona_exp("replies", SWEEP, "--limit", "1", "--trials", "1")[1]
    assert "3 more trials are not shown" in text.replace("\n", " ")
    assert sum("lora.r=" in line and "seed=" in line for line in text.splitlines()[1:]) == 2, "once in the table, once at its reply"
    (one,) = json.loads(persona_exp("replies", SWEEP, "--json", "--trials", "1")[1])["comparisons"]
    assert ([column["condition"] for column in one["columns"]], one["columns_left_out"]) == (["base+system", "adapter"], 3)
    assert all(len(prompt["replies"]) == 2 for prompt in one["shown"])
    assert "not shown" not in persona_exp("replies", SWEEP)[1]
    assert persona_exp("replies", SWEEP, "--trials", "0")[0] == 2


def test_a_reply_cannot_steer_the_terminal_nor_forge_a_line(older, persona_exp):
    path = next((older / "trials" / "6783f48515d3" / "evaluations").glob("*/generations.jsonl"))
    records = [json.loads(line) for line in path.read_text().splitlines()]
    records[0]["generated"] = "\x1b[2J\x1b]0;title\x07\n  true line\nforged\u202e"
    path.write_text("".join(json.dumps(one) + "\n" for one in records))
    text = persona_exp("replies", "6783f48515d3")[1]
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "    \\u001b[2J\\u001b]0;title\\u0007\n    true line\n    forged\\u202e\n" in text


def test_a_trial_without_replies(desk, persona_exp):
    desk.trial("000000000001")
    assert persona_exp("replies", "000000000001") == (
        1,
        "No replies of trial 000000000001 are kept.\n\nadapter (trial 000000000001) has not been measured yet.\n",
        "",
    )


def test_no_prompts_cannot_be_asked_for(older, persona_exp, capsys):
    assert persona_exp("replies", "6783f48515d3", "--limit", "0")[0] == 2


def test_wide_characters_and_long_words_are_wrapped():
    assert wrapped("私はペルです。", 8) == ["私はペル", "です。"]
    assert wrapped("a" * 10 + " b", 4, "  ") == ["  aa"] * 5 + ["  b"]
    assert wrapped("one\n\ntwo", 20) == ["one", "", "two"]
