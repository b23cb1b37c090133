"""The bundled corpus's datasets, byte for byte. When one of these changes on purpose, raise DATA_VERSION and write the new digests here."""

from dataclasses import replace
from pathlib import Path

import pytest

from persona_exp.atomic_files import digest
from persona_exp.dataset.data_id import DATA_VERSION
from persona_exp.dataset.dataset_recipe import Recipe
from persona_exp.dataset.training_example import KINDS
from tests.dataset.saltmere import PELL, RECIPE, build_saltmere

GOLDEN = {
    2: {
        "wrexham": "146fdd0fa802b32d4b17a35555f09eaac19a012e476142addbf873e747706a95",
        "wrexham by rules": "ddb7a6897090cd8c8b7116eb75022a9b7de74435db6a2b4b9808c93e69ec111e",
        "pell by chapter": "eb776c9ed820d93d77ca42ebca48b0b27a8d875e0114f5f5a3990f644333678f",
        "wrexham, all kinds": "4d3a04f7d981a36a8c3d2728495e500d4d0f6ed4623d78b92722deccec1fd770",
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
