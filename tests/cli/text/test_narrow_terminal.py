"""On sixty columns no word, id or figure is cut or broken."""

import sys

import pytest

from persona_exp.cli.main import main
from persona_exp.cli.text.sentence_lines import sentence_lines
from persona_exp.cli.text.text_table import text_table

COLUMNS = 60
METRIC = "adapter, test: reference_period_terms_per_1000_words"


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    monkeypatch.setenv("COLUMNS", f"{COLUMNS}")


def test_a_row_of_many_figures_takes_several_lines():
    rows = [[METRIC, "0.0002865", "0.0005869", "+8.15e−06", ""], ["rouge1", "0.5", "1", "", ""]]
    lines = text_table(["Results", "A", "B", "B − A", "version"], rows, right=(1, 2, 3)).splitlines()
    assert lines == [
        "Results",
        "            A          B      B − A",
        METRIC,
        "    0.0002865  0.0005869  +8.15e−06",
        "rouge1",
        "          0.5          1",
    ]


def test_a_cell_without_room_is_broken_between_words():
    told = "split=test, likelihood_items=100, generated_items=24, max_new_tokens=64"
    lines = text_table(["Evaluations", "measured with", "id"], [["adapter", told, "0123456789ab"]], widest=1000).splitlines()
    assert max(map(len, lines)) <= COLUMNS
    assert " ".join(" ".join(lines).split()) == f"Evaluations measured with id adapter {told} 0123456789ab"


def test_a_table_with_room_is_as_wide_as_it_was():
    assert text_table(["trial", "loss"], [["0123456789ab", "1.5"]], right=(1,)) == "trial         loss\n0123456789ab   1.5"


def test_a_sentence_is_broken_between_words_and_a_command_to_copy_is_whole():
    said = "There is no sweep lora under /scratch/of/someone/with/a/long/name; `persona-exp status --all` lists them, and nothing else."
    lines = sentence_lines(said, COLUMNS)
    assert " ".join(lines) == said
    assert max(map(len, lines)) <= COLUMNS
    assert any("`persona-exp status --all`" in line for line in lines)
    assert sentence_lines(said, float("inf")) == [said]


@pytest.mark.parametrize("terminal", [True, False])
def test_a_refusal_is_one_line_but_on_a_narrow_terminal(capsys, monkeypatch, tmp_path, terminal):
    monkeypatch.setenv("PERSONA_EXP_RUNS", str(tmp_path))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    assert main(["show", "no_such_sweep"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert (len(lines) > 1) == terminal
    assert not terminal or max(len(line) for line in lines if str(tmp_path) not in line) <= COLUMNS
