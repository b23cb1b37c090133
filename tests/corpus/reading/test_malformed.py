"""Files that are no sound books: each ends with a book or with one sentence, soon, and in little memory."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.corpus.malformed import SPECIAL, make

ROOT = Path(__file__).parents[3]
FILES = 240
GROUPS = 8
# It is one or two; what is not linear in the size of these files takes minutes.
SECONDS = 60
GIBIBYTE = 1 << 30
# Reads files one by one in a process of its own; its and its children's peak memory are those of the whole group. Its own is read off
# VmHWM: ru_maxrss would count the test runner that it was forked from.
READ = """
import json, resource, sys, time
from pathlib import Path
from persona_exp.corpus.book import read_book
from persona_exp.errors import UserError
for path in sys.stdin.read().splitlines():
    start = time.monotonic()
    try:
        book = read_book(Path(path))
        said = None
        assert book.chapters and all(book.text[one.start : one.end].strip() for one in book.chapters)
    except UserError as error:
        said = str(error)
    seconds = time.monotonic() - start
    own = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
    memory = max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) * 1024
    print(json.dumps({"path": path, "said": said, "seconds": seconds, "memory": memory}), flush=True)
"""


@pytest.mark.long
@pytest.mark.parametrize("group", range(GROUPS))
def test_every_file_ends_soon_with_a_book_or_one_sentence(group: int, tmp_path: Path) -> None:
    paths = list(make(tmp_path, range(group, FILES, GROUPS), seed=7))
    names = "\n".join(str(path) for path in paths)
    done = subprocess.run([sys.executable, "-c", READ], input=names, capture_output=True, text=True, cwd=ROOT, timeout=550)
    assert done.returncode == 0, done.stderr[-2000:]
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert [result["path"] for result in results] == [str(path) for path in paths]
    for path, result in zip(paths, results, strict=True):
        size = path.stat().st_size if path.is_file() else 0
        assert result["seconds"] < SECONDS, result
        assert result["memory"] < GIBIBYTE + size, result
        if result["said"] is not None:
            assert str(path) in result["said"]
            said = result["said"].replace(str(path), "")
            assert said.endswith("."), said
            assert not re.search(r"[.!?] [A-Z]|\n|Traceback|Error\b", said), said


def test_there_are_enough_of_every_sort() -> None:
    assert FILES >= 200
    assert FILES - len(SPECIAL) >= 100
