"""The benchmark's reader and scores, on a small novel of our own in the format of PDNC."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.attribution import score
from benchmarks.pdnc import nearest_cue, novels_in, read_novel
from persona_exp.errors import UserError

ROOT = Path(__file__).parents[2]
TEXT = """CHAPTER I

"Is it deep?" asked Wrexham.

"It is," said Mrs. Hallam, "and cold." She shivered.

"Sound it."

'Not I,' the old man muttered.

"No!" they all cried.
"""
CHARACTERS = [
    ("0", "Tobias Wrexham", "{'Mr. Wrexham', 'Wrexham'}", "M", "major"),
    ("1", "Mrs. Hallam", "['Dorcas']", "F", "major"),
    ("2", "The Old Man", "set()", "X", "minor"),
    ("3", "_group", "['_group']", "X", "minor"),
]


def quoted(*pieces: str) -> str:
    return json.dumps([[TEXT.index(piece), TEXT.index(piece) + len(piece)] for piece in pieces])


QUOTATIONS = [
    (quoted("Is it deep?"), "Wrexham ", "Explicit"),
    (quoted("It is,", "and cold."), "Dorcas", "Explicit"),
    (quoted("Sound it."), "Tobias Wrexham", "Implicit"),
    (quoted("Not I,"), "The Old Man", "Anaphoric"),
    (quoted("No!"), "_group", "nan"),
    ("[]", "Tobias Wrexham", "Implicit"),
    ("not a list", "Tobias Wrexham", "Implicit"),
    ("[[90000, 90010]]", "Tobias Wrexham", "Implicit"),
]


def write(folder: Path, text: str = TEXT) -> Path:
    folder.mkdir()
    (folder / "novel_text.txt").write_bytes(text.encode())
    with (folder / "quotation_info.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["quoteID", "quoteText", "quoteByteSpans", "speaker", "quoteType"])
        for number, (spans, speaker, kind) in enumerate(QUOTATIONS):
            said = " ".join(TEXT[start:end] for start, end in json.loads(spans)) if spans.startswith("[[") else ""
            rows.writerow([f"Q{number}", said, spans, speaker, kind])
    with (folder / "character_info.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("Character ID", "Main Name", "Aliases", "Gender", "Category"), *CHARACTERS])
    return folder


def test_a_novel_is_read(tmp_path: Path) -> None:
    novel = read_novel(write(tmp_path / "Saltmere"))
    assert novel.gold == ("Tobias Wrexham", "Mrs. Hallam", "Tobias Wrexham", "The Old Man", "_group")
    assert novel.kinds == ("explicit", "explicit", "implicit", "anaphoric", "")
    assert [character.gender for character in novel.cast] == ["male", "female", None]
    assert [novel.text[start:end] for quote in novel.quotes for start, end in quote.spans][:3] == ["Is it deep?", "It is,", "and cold."]


def test_line_ends_of_two_characters_are_counted_as_the_offsets_count_them(tmp_path: Path) -> None:
    novel = read_novel(write(tmp_path / "Saltmere", TEXT.replace("\n", "\r\n")))
    assert [novel.text[start:end] for quote in novel.quotes for start, end in quote.spans][-1] == "No!"


def test_aliases_count_and_a_main_name_means_its_own_character(tmp_path: Path) -> None:
    novel = read_novel(write(tmp_path / "Saltmere"))
    assert novel.same("mr. wrexham", "Tobias Wrexham")
    assert not novel.same("Mrs. Hallam", "Tobias Wrexham")
    assert not novel.same(None, "Tobias Wrexham")
    assert novel.same_person("Tobias", "Tobias Wrexham")
    assert not novel.same_person("Tobias Hallam", "Tobias Wrexham")


def test_the_scores(tmp_path: Path) -> None:
    result = score([read_novel(write(tmp_path / "Saltmere"))], end_to_end=True)
    ours = result["ours"]
    assert ours["overall"] == 0.8
    assert ours["by_type"] == {"explicit": 1.0, "anaphoric": 1.0, "implicit": 1.0}
    assert ours["personas"] == []
    assert ours["persona_precision"] is None
    assert result["n"] == 5
    assert 0 < ours["end_to_end"]["quotes_recall"] <= 1
    assert json.loads(json.dumps(result)) == result


def test_the_baseline_takes_the_name_beside_a_verb_of_saying(tmp_path: Path) -> None:
    assert nearest_cue(read_novel(write(tmp_path / "Saltmere")))[:3] == ["Tobias Wrexham", "Mrs. Hallam", "Tobias Wrexham"]


def test_what_is_not_there_is_said_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        novels_in(tmp_path / "nowhere", [])
    with pytest.raises(UserError, match="No folder in"):
        novels_in(tmp_path, [])
    write(tmp_path / "Saltmere")
    with pytest.raises(UserError, match="no novel Emma"):
        novels_in(tmp_path, ["Emma"])
    (tmp_path / "Saltmere/character_info.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="no column Main Name"):
        novels_in(tmp_path, [])


def test_the_command_prints_one_object(tmp_path: Path) -> None:
    write(tmp_path / "Saltmere")
    command = [sys.executable, str(ROOT / "benchmarks/attribution.py"), "--pdnc", str(tmp_path), "--novels", "Saltmere"]
    found = json.loads(subprocess.run([*command, "--json"], capture_output=True, check=True, text=True, cwd=tmp_path).stdout)
    assert {"name", "setting", "ours", "baseline", "ratio", "unit", "n"} <= set(found)
    wrong = subprocess.run([*command[:-1], "Emma"], capture_output=True, check=False, text=True, cwd=tmp_path)
    assert wrong.returncode == 2
    assert wrong.stderr.count("\n") == 1
