"""A full disk is named, whatever file the error names."""

import errno
from pathlib import Path

from persona_exp.full_disk import disk_sentence


def test_the_disk_that_is_written_to_is_named_and_not_the_file_that_is_read(tmp_path):
    error = OSError(errno.ENOSPC, "No space left on device", "/books/emma.txt", None, str(tmp_path / "runs" / "emma.txt"))
    said = disk_sentence(error, Path("runs"))
    mount = next(one for one in (tmp_path, *tmp_path.parents) if one.is_mount())
    assert said.startswith(f"The disk of {mount} is full, where {tmp_path / 'runs' / 'emma.txt'} was to be written: make room")
    assert "/books/emma.txt" not in said


def test_without_a_file_it_is_the_disk_of_the_results(tmp_path):
    assert f"where {tmp_path / 'runs'} was to be written" in disk_sentence(OSError(errno.ENOSPC, "full"), tmp_path / "runs")


def test_a_quota_is_called_one(tmp_path):
    assert disk_sentence(OSError(errno.EDQUOT, "full"), tmp_path).startswith("The quota of ")
