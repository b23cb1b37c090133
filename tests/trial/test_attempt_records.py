"""Reading the files of attempts, which another host replaces every few seconds."""

import errno
import os
from pathlib import Path

import pytest

from persona_exp.trial import attempt_records


class Stale:
    """os.read over NFS: `times` reads in a row find that the file was replaced under them."""

    def __init__(self, times: int, number: int = errno.ESTALE) -> None:
        self.left, self.number, self.read = times, number, os.read

    def __call__(self, descriptor: int, most: int) -> bytes:
        if self.left:
            self.left -= 1
            raise OSError(self.number, "as the kernel says it")
        return self.read(descriptor, most)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(attempt_records, "STALE_PAUSES", (0.0, 0.0))
    (tmp_path / "0001.json").write_text('{"status": "running"}')
    return tmp_path / "0001.json"


def test_a_record_that_was_replaced_while_it_was_read_is_read_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stale = Stale(2)
    monkeypatch.setattr("persona_exp.damaged_records.os.read", stale)
    assert attempt_records.read_record(path) == {"attempt": 1, "host": None, "status": "running"}


@pytest.mark.parametrize(("times", "number", "left"), [(9, errno.ESTALE, 6), (9, errno.EIO, 8)])
def test_a_record_that_cannot_be_read_is_named(path: Path, monkeypatch: pytest.MonkeyPatch, times: int, number: int, left: int) -> None:
    stale = Stale(times, number)
    monkeypatch.setattr("persona_exp.damaged_records.os.read", stale)
    with pytest.raises(OSError, match="as the kernel says it") as raised:
        attempt_records.read_record(path)
    assert (raised.value.filename, stale.left) == (str(path), left)
