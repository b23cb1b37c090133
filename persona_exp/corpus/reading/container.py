"""docx, epub and pdf to text, in a child process: whatever such a file does to its parser, this process lives, and soon goes on."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import persona_exp
from persona_exp.corpus.reading.cuts import Cut
from persona_exp.corpus.reading.files import file_size
from persona_exp.errors import UserError

MAX_BYTES = 512 << 20
# The child's address space beyond the file's size, and the seconds it has: for any file, and for each MiB of it.
MEMORY = 768 << 20
SECONDS = 7.5
SECONDS_PER_MIB = 1.0
NAMES = {"docx": "a Word document", "epub": "an epub", "pdf": "a PDF"}


@dataclass(frozen=True)
class Contents:
    """What a container holds: its text, pages ended by `PAGE`, headings begun by `HEADING` and their level; its title, if it states one."""

    text: str
    title: str | None
    cuts: tuple[Cut, ...]


def extract(path: Path, format: str) -> Contents:
    """The text of the docx, epub or pdf at `path`. UserError: damaged, encrypted, without text, too large, too slow."""
    name = f"The book {path}, {NAMES[format]},"
    size = file_size(path)
    if size > MAX_BYTES:
        raise UserError(f"{name} is {size >> 20} MiB, more than any novel ({MAX_BYTES >> 20} MiB); give one without pictures.")
    memory = MEMORY + size
    seconds = SECONDS + SECONDS_PER_MIB * size / 2**20
    root = str(Path(persona_exp.__file__).parent.parent)
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH")))), OMP_NUM_THREADS="1")
    command = [
        sys.executable,
        "-m",
        "persona_exp.corpus.reading.extractor",
        format,
        str(path.absolute()),
        str(memory),
        str(int(seconds) + 2),
    ]
    child = subprocess.Popen(
        command, env=environment, cwd=root, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        # The child bounds what it writes.
        output, _ = child.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        raise UserError(f"{name} was not read within {seconds:.0f} seconds; save it anew, or save it as .txt.") from None
    finally:
        if child.poll() is None:
            child.kill()
            child.communicate()
    try:
        answer = json.loads(output)
    except ValueError:
        raise UserError(f"{name} is damaged beyond reading (its reader broke off); save it anew, or save it as .txt.") from None
    if "error" in answer:
        raise UserError(f"{name} {answer['error']}.")
    cuts = tuple(Cut(cut["kind"], cut["number"], cut["characters"], tuple(cut["samples"])) for cut in answer["cuts"])
    return Contents(answer["text"], answer["title"], cuts)
