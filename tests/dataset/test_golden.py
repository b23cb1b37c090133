"""The bundled corpus's datasets, byte for byte. When one of these changes on purpose, raise DATA_VERSION and write the new digests here."""

from pathlib import Path
from typing import Any

import pytest

from persona_exp.dataset.build import DATA_VERSION
from persona_exp.files import digest
from tests.dataset.saltmere import PELL, build_saltmere

GOLDEN = {
    1: {
        "wrexham": "f3ab7744fbab13df9aa3c9e85092dfa068bbab4daa1855825623f6f255d7657a",
        "wrexham by rules": "1de05afee829d0162e9fefab7a417dbadafb12dde7e6ea1c57dc0e0b7f2c0af6",
        "pell by chapter": "b49a0ed9f1630eb94d7e57a5c9b412620f008887f6e81549e051903685a68adf",
    },
}
CASES: dict[str, dict[str, Any]] = {
    "wrexham": {},
    "wrexham by rules": {"by_hand": False},
    "pell by chapter": {**PELL, "by_hand": False, "split": "chapter", "validation": [], "test": []},
}


@pytest.mark.parametrize("name", CASES)
def test_output_changes_only_with_the_version(tmp_path: Path, name: str) -> None:
    manifest = build_saltmere(tmp_path / "d", **CASES[name])
    assert digest(manifest["files"]) == GOLDEN[DATA_VERSION][name]
