"""docx, epub and pdf to text, in a child process within bounds of memory and time: whatever such a file does to its parser, this process
lives, and soon goes on.

`python -m persona_exp.corpus.reading.sandboxed_extraction FORMAT PATH BYTES SECONDS` is the child. It prints one JSON object: text, title,
cuts; or error, the end of a sentence.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from persona_exp.corpus.reading.book_files import file_size
from persona_exp.corpus.reading.book_size_limits import MAX_CHARACTERS, MAX_DOCUMENT_BYTES
from persona_exp.corpus.reading.extracted_document import HEADING_MARK, ExtractedDocument, UnreadableDocument
from persona_exp.corpus.reading.removed_text import Cut
from persona_exp.errors import UserError
from persona_exp.project_folders import ROOT

# The child's address space beyond the file's size, and the seconds it has: for any file, and for each MiB of it.
MEMORY = 768 << 20
SECONDS = 7.5
SECONDS_PER_MIB = 1.0
NAMES = {"docx": "a Word document", "epub": "an epub", "pdf": "a PDF"}
CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1c\x1e\x1f\x7f\ud800-\udfff]+")


def extract_document(path: Path, format: str) -> ExtractedDocument:
    """Return what the docx, epub or pdf at `path` holds. Raise UserError if it is damaged, locked, without text, too large or too slow."""
    name = f"The book {path}, {NAMES[format]},"
    size = file_size(path)
    if size > MAX_DOCUMENT_BYTES:
        raise UserError(f"{name} is {size >> 20} MiB, more than any novel ({MAX_DOCUMENT_BYTES >> 20} MiB); give one without pictures.")
    seconds = SECONDS + SECONDS_PER_MIB * size / 2**20
    root = str(ROOT)
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH")))), OMP_NUM_THREADS="1")
    command = [sys.executable, "-m", __name__, format, str(path.absolute()), str(MEMORY + size), str(int(seconds) + 2)]
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
    return ExtractedDocument(answer["text"], answer["title"], cuts)


def _extract_in_child(format: str, path: Path, memory: int, seconds: int) -> dict[str, object]:
    """Return the child's answer for the document at `path`. Bounds are set before any parser is loaded."""
    import resource

    for kind, limit in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_CPU, seconds), (resource.RLIMIT_CORE, 0)):
        allowed = resource.getrlimit(kind)[1]
        limit = limit if allowed == resource.RLIM_INFINITY else min(limit, allowed)
        resource.setrlimit(kind, (limit, limit))
    try:
        document = _reader(format)(path)
        if len(document.text) > MAX_CHARACTERS:
            million = len(document.text) / 1e6
            raise UnreadableDocument(f"holds {million:.0f} million characters, more than any novel; give one file a book")
        text = CONTROL.sub("", document.text)
        if not text.strip("\f\n\t " + HEADING_MARK):
            raise UnreadableDocument("holds no text")
        return {"text": text, "title": document.title, "cuts": [asdict(cut) for cut in document.cuts]}
    except UnreadableDocument as error:
        return {"error": str(error)}
    except MemoryError:
        return {"error": "takes more memory than any novel does; save it anew, or save it as .txt"}


def _reader(format: str) -> Callable[[Path], ExtractedDocument]:
    if format == "docx":
        from persona_exp.corpus.reading.docx_reader import read_docx

        return read_docx
    if format == "epub":
        from persona_exp.corpus.reading.epub_reader import read_epub

        return read_epub
    from persona_exp.corpus.reading.pdf_reader import read_pdf

    return read_pdf


if __name__ == "__main__":
    found = _extract_in_child(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
    sys.stdout.buffer.write(json.dumps(found, ensure_ascii=False).encode(errors="replace"))
