"""Encoded conversations on disk."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_exp.modeling.supervised_token_mask import Encoded
from persona_exp.modeling.tokenised_dataset import (
    DamagedFiles,
    TokenisedConversation,
    TokenisedDataset,
    gather,
    read_tokenised,
    write_tokenised,
)

END = 9
FACTS = {"max_length": 4}
ROWS = [
    TokenisedConversation("short", 3, Encoded([1, 2, END], [-100, 2, END], shortened=False, cut=False)),
    TokenisedConversation("long", 8, None),
    TokenisedConversation("cut", 7, Encoded([5, 6, 7, 8], [-100, -100, 7, 8], shortened=True, cut=True)),
    TokenisedConversation("odd", 0, None, "The template refuses it."),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_tokenised(tmp_path, gather(ROWS, END), FACTS)
    return tmp_path


def test_what_is_read_is_what_was_written(folder: Path) -> None:
    found = read_tokenised(folder, FACTS)
    assert isinstance(found.ids, np.memmap)
    assert (len(found), found[0], found[2]) == (4, ROWS[0].encoded, ROWS[2].encoded)
    assert found.rows["whole"].tolist() == [3, 8, 7, 0]
    assert (found.rows["supervised"].tolist(), found.rows["ends"].tolist()) == ([2, 0, 2, 0], [1, 0, 0, 0])
    assert found.fault() == ("odd", "The template refuses it.")
    for without_tokens in (1, 3):
        with pytest.raises(ValueError, match=ROWS[without_tokens].name):
            found[without_tokens]
    with pytest.raises(ValueError, match="long has no tokens"):
        list(found)
    with pytest.raises(IndexError):
        found[4]


def test_some_are_picked_by_name_as_often_as_they_are_named(folder: Path) -> None:
    picked = read_tokenised(folder, FACTS).named(["cut", "long", "short", "cut"])
    fitting, skipped = picked.fitting()
    assert ([*fitting], skipped) == ([ROWS[2].encoded, ROWS[0].encoded, ROWS[2].encoded], ["long"])
    assert [*fitting[1:]] == [ROWS[0].encoded, ROWS[2].encoded]
    assert fitting.rows["length"].tolist() == [4, 3, 4]
    assert picked.fault() is None
    with pytest.raises(KeyError, match="none"):
        picked.named(["none"])


@pytest.mark.parametrize("name", ["index.json", "names.json", "table.npy", "ids.npy", "supervised.npy"])
@pytest.mark.parametrize("how", ["a bit", "cut short", "gone"])
def test_damage_is_noticed(folder: Path, name: str, how: str) -> None:
    path = folder / name
    content = path.read_bytes()
    if how == "gone":
        path.unlink()
    elif how == "cut short":
        path.write_bytes(content[:-2])
    else:
        path.write_bytes(content[:-2] + bytes([content[-2] ^ 1]) + content[-1:])
    with pytest.raises(DamagedFiles, match=str(folder)):
        read_tokenised(folder, FACTS)


def test_damage_that_is_still_json_is_noticed(folder: Path) -> None:
    index = json.loads((folder / "index.json").read_text())
    (folder / "index.json").write_text(json.dumps({**index, "faults": {}}))
    with pytest.raises(DamagedFiles):
        read_tokenised(folder, FACTS)


def test_tokens_of_something_else_are_not_used(folder: Path) -> None:
    with pytest.raises(DamagedFiles):
        read_tokenised(folder, {"max_length": 5})


def test_what_cannot_be_kept_exactly_is_refused() -> None:
    with pytest.raises(ValueError, match="bad has a label"):
        gather([TokenisedConversation("bad", 2, Encoded([1, 2], [-100, 3], shortened=False, cut=False))], END)
    with pytest.raises(ValueError, match="one name"):
        gather([ROWS[0], ROWS[0]], END)


def supervised(tokens: list[tuple[int, bool]]) -> Encoded:
    return Encoded([token for token, _ in tokens], [token if is_ else -100 for token, is_ in tokens], shortened=False, cut=False)


@given(st.lists(st.lists(st.tuples(st.integers(0, 2**31 - 1), st.booleans()), min_size=1, max_size=5).map(supervised), max_size=6))
def test_any_tokens_come_back(encoded: list[Encoded]) -> None:
    found: TokenisedDataset = gather([TokenisedConversation(str(number), 1, one) for number, one in enumerate(encoded)], END)
    assert [*found] == encoded
    assert found.rows["supervised"].tolist() == [sum(label != -100 for label in one.labels) for one in encoded]
