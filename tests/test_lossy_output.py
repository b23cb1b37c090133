"""Output that cannot be written ends nothing, and is counted."""

import errno
import os
import subprocess
import sys

import pytest

from persona_exp import lossy_output
from persona_exp.lossy_output import LossyDescriptor, lossy_file, lossy_text

PROGRAM = """
import sys
from persona_exp.lossy_output import outlive_full_disk
outlive_full_disk()
for number in range(1000):
    print("line", number, flush=True)
print("error", file=sys.stderr, flush=True)
sys.exit(7)
"""


def test_a_full_disk_and_a_reader_that_left_end_no_program():
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        assert subprocess.run([sys.executable, "-c", PROGRAM], stdout=full, stderr=full, check=False).returncode == 7
    mine, its = os.pipe()
    os.close(mine)
    done = subprocess.run([sys.executable, "-c", PROGRAM], stdout=its, stderr=subprocess.PIPE, text=True, check=False)
    os.close(its)
    assert (done.returncode, done.stderr) == (7, "error\n")


def test_what_is_missing_is_counted_once_there_is_room(tmp_path, monkeypatch):
    path, write, full = tmp_path / "log", os.write, []

    def refuse(descriptor, data):
        if full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data)

    monkeypatch.setattr(lossy_output.os, "write", refuse)
    with lossy_file(path) as log:
        print("before", file=log)
        full.append(True)
        print("lost", file=log)
        print("lost too", file=log)
        full.clear()
        print("after", file=log)
    assert path.read_text() == "before\n\n(14 bytes of output are missing here: they could not be written.)\nafter\n"


def test_any_other_error_is_raised(tmp_path, monkeypatch):
    descriptor = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    raw = LossyDescriptor(descriptor)
    os.close(descriptor)
    with pytest.raises(OSError, match="Bad file descriptor"):
        raw.write(b"x")


def test_a_stream_is_what_a_program_expects_of_one(tmp_path):
    descriptor = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    stream = lossy_text(descriptor)
    stream.reconfigure(line_buffering=True)
    assert (stream.fileno(), stream.isatty(), stream.encoding) == (descriptor, False, "utf-8")
    print("“ü”", file=stream)
    assert (tmp_path / "log").read_text() == "“ü”\n"
    os.close(descriptor)
