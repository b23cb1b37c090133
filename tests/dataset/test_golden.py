"""The bundled corpus's datasets, byte for byte. When one of these changes on purpose, raise DATA_VERSION and write the new digests here."""

from dataclasses import replace
from pathlib import Path

import pytest

from persona_exp.dataset.example import KINDS
from persona_exp.dataset.recipe import DATA_VERSION, Recipe
from persona_exp.files import digest
from tests.dataset.saltmere import PELL, RECIPE, build_saltmere

GOLDEN = {
    2: {
        "wrexham": "146fdd0fa802b32d4b17a35555f09eaac19a012e476142addbf873e747706a95",
        "wrexham by rules": "a89758d308d915495431d48479f5f8fc34bceb49fed0c7081a953ccfd53c1aa3",
        "pell by chapter": "a90d1552b08f3e7ee2af8f667f8f0a65ba9a9ef4131d94c5a25d940699301832",
        "wrexham, all kinds": "90bcc76ce63cec0ecf1a8452b5aae03e3b04d45762b27aac15a4cc36412c8353",
    },
}
CASES: dict[str, tuple[Recipe, bool]] = {
    "wrexham": (RECIPE, True),
    "wrexham by rules": (RECIPE, False),
    "pell by chapter": (replace(RECIPE, personas=(PELL,), split="chapter"), False),
    "wrexham, all kinds": (replace(RECIPE, kinds=KINDS), True),
}


@pytest.mark.parametrize("name", CASES)
def test_output_changes_only_with_the_version(tmp_path: Path, name: str) -> None:
    recipe, by_hand = CASES[name]
    manifest = build_saltmere(tmp_path / "d", recipe, by_hand=by_hand)
    assert digest(manifest["files"]) == GOLDEN[DATA_VERSION][name]
