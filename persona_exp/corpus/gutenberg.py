"""Project Gutenberg: its licence cut off, its books fetched."""

import http.client
import re
import urllib.error
import urllib.request
from pathlib import Path

from filelock import FileLock

from persona_exp.atomic_files import file_digest, sync, write_text
from persona_exp.corpus.reading.removed_text import Cuts
from persona_exp.corpus.reading.text_decoding import decode
from persona_exp.errors import UserError
from persona_exp.progress_bar import progress

ADDRESS = "https://www.gutenberg.org"
ANYWHERE = re.IGNORECASE | re.MULTILINE
START = re.compile(r"^[ \t]*\*{3}[ \t]*START OF (?:THE|THIS)?[ \t]*PROJECT GUTENBERG[^\n]*(?:\n[^\n]+)?\*{3}[^\n]*$", ANYWHERE)
SMALL_PRINT = re.compile(r"^[ \t]*\*END[ \t]?\*?[ \t]?THE SMALL PRINT[^\n]*$", ANYWHERE)
END = re.compile(r"^[ \t]*(?:\*{3}[ \t]*END OF (?:THE|THIS)?[ \t]*PROJECT GUTENBERG|End of (?:the |this )?Project Gutenberg)", ANYWHERE)
CREDIT = re.compile(r"\s*(?:Produced by|E-?text prepared by|Transcribed from|This etext was)[^\n]*(?:\n[^\n]+)*", re.IGNORECASE)
TIMEOUT_SECONDS = 30
PIECE = 1 << 16


def strip_licence(text: str, cuts: Cuts | None = None) -> str:
    """Return the book between Gutenberg's START and END lines, a text without them unchanged. What is cut off is added to `cuts`."""
    cuts = Cuts() if cuts is None else cuts
    start = START.search(text) or SMALL_PRINT.search(text)
    begin = start.end() if start else 0
    credit = CREDIT.match(text, begin) if start else None
    end = END.search(text, begin)
    stop = end.start() if end else len(text)
    if not start and not end:
        return text
    if start:
        cuts.add("licence", text[:begin])
    if credit:
        cuts.add("credits", credit[0])
        begin = credit.end()
    if end:
        cuts.add("licence", text[stop:])
    return text[begin:stop].strip("\n") + "\n"


def download(ebook: int, destination: Path, sha256: str | None = None, address: str = ADDRESS) -> Path:
    """Fetch the UTF-8 text of Gutenberg's `ebook` to `destination`, going on where a broken download stopped.

    Without a known `sha256` the first download's digest is written to `destination` + ".sha256", and later reads are held to it:
    Gutenberg now and then corrects its files in place. Safe when several processes ask at once. Raise UserError if there is no network or
    no such book, or another file than the checksum says.
    """
    recorded = destination.with_name(destination.name + ".sha256")
    destination.parent.mkdir(parents=True, exist_ok=True)
    own_copy = "give the folder of your own copy as corpus.dir=PATH"
    with FileLock(destination.with_name(f".{destination.name}.lock")):
        if destination.exists():
            expected = sha256 or (recorded.read_text().split()[0] if recorded.exists() else None)
            if expected is not None and file_digest(destination) != expected:
                raise UserError(f"{destination} is not the file that was downloaded (its SHA-256 differs); delete it to download it again.")
            return destination
        part = destination.with_name(f".{destination.name}.part")
        try:
            _fetch(f"{address}/cache/epub/{ebook}/pg{ebook}.txt", part, destination.name)
        except urllib.error.HTTPError as error:
            raise UserError(f"Project Gutenberg answered {error.code} for ebook {ebook}; try later, or {own_copy}.") from None
        except (OSError, http.client.HTTPException) as error:
            why = f"there is no network to {address} ({_reason(error)})"
            raise UserError(f"Ebook {ebook} cannot be downloaded, {why}; {own_copy}.") from None
        found = file_digest(part)
        if sha256 is not None and found != sha256:
            part.unlink()
            raise UserError(f"Ebook {ebook} has SHA-256 {found}, not {sha256}; if you trust it, put the new one in corpus.gutenberg.")
        if not START.search(decode(part.read_bytes(), destination.name)):
            part.unlink()
            raise UserError(f"What {address} sent for ebook {ebook} is not a Gutenberg text; {own_copy}.")
        write_text(recorded, f"{found}  {destination.name}\n")
        sync(part)
        part.replace(destination)
        return destination


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    return str(reason) or type(error).__name__


def _fetch(url: str, part: Path, name: str) -> None:
    """Append to `part` what it lacks of `url`; Raise OSError or HTTPException if the connection ends early."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "persona-exp", "Accept-Encoding": "identity"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        # Nothing lies beyond what we have: it is whole, or of another, longer version. Only a new start can tell.
        part.unlink()
        _fetch(url, part, name)
        return
    with response:
        if response.status != 206:
            have = 0
        length = response.headers.get("Content-Length")
        total = have + int(length) if length else None
        with part.open("ab" if have else "wb") as file, progress(f"Downloading {name} (KiB)", (total or 0) >> 10, have >> 10) as meter:
            received = have
            while piece := response.read(PIECE):
                file.write(piece)
                kibibytes = ((received + len(piece)) >> 10) - (received >> 10)
                if kibibytes:
                    meter.advance(kibibytes)
                received += len(piece)
    if total is not None and received < total:
        raise ConnectionError(f"the connection ended after {received} of {total} bytes")
