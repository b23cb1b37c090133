"""The child process that takes the text out of one container, within bounds of memory and time: `python -m … FORMAT PATH BYTES SECONDS`.

Prints one JSON object: text, title, cuts; or error, the end of a sentence.
"""

import json
import re
import resource
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from persona_exp.corpus.reading.cuts import Cuts
from persona_exp.corpus.reading.unreadable import HEADING, MAX_CHARACTERS, Unreadable

CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1c\x1e\x1f\x7f\ud800-\udfff]+")


def main(format: str, path: Path, memory: int, seconds: int) -> dict[str, object]:
    """Take the text out of the container at `path`; bounds are set before any parser is loaded."""
    for kind, limit in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_CPU, seconds), (resource.RLIMIT_CORE, 0)):
        allowed = resource.getrlimit(kind)[1]
        limit = limit if allowed == resource.RLIM_INFINITY else min(limit, allowed)
        resource.setrlimit(kind, (limit, limit))
    try:
        read = _reader(format)
        text, title, cuts = read(path)
        if len(text) > MAX_CHARACTERS:
            raise Unreadable(f"holds {len(text) / 1e6:.0f} million characters, more than any novel; give one file a book")
        text = CONTROL.sub("", text)
        if not text.strip("\f\n\t " + HEADING):
            raise Unreadable("holds no text")
        return {"text": text, "title": title, "cuts": [asdict(cut) for cut in cuts.all()]}
    except Unreadable as error:
        return {"error": str(error)}
    except MemoryError:
        return {"error": "takes more memory than any novel does; save it anew, or save it as .txt"}


def _reader(format: str) -> Callable[[Path], tuple[str, str | None, Cuts]]:
    if format == "docx":
        from persona_exp.corpus.reading.word import read_docx

        return read_docx
    if format == "epub":
        from persona_exp.corpus.reading.epub import read_epub

        return read_epub
    from persona_exp.corpus.reading.pdf import read_pdf

    return read_pdf


if __name__ == "__main__":
    found = main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
    sys.stdout.buffer.write(json.dumps(found, ensure_ascii=False).encode(errors="replace"))
