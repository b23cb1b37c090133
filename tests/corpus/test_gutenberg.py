import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from persona_exp.corpus.gutenberg import download, strip_licence
from persona_exp.errors import UserError

BOOK = (
    "*** START OF THE PROJECT GUTENBERG EBOOK X ***\n\n" + "It rang.\n" * 40_000 + "\n*** END OF THE PROJECT GUTENBERG EBOOK X ***\n"
).encode()
SHA256 = hashlib.sha256(BOOK).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves BOOK as ebook 1, breaking off after `cut` bytes while that is set; remembers the ranges asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.cut: int | None = None
        self.ranges: list[str | None] = []
        self.knows_ranges = True
        self.body = BOOK

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.ranges.append(asked)
        if self.path != "/cache/epub/1/pg1.txt":
            self.send_error(404)
            return
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.server.knows_ranges else 0
        if start >= len(self.server.body):
            self.send_error(416)
            return
        body = self.server.body[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: self.server.cut])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_book_is_fetched_once(server: Server, tmp_path: Path) -> None:
    for _ in range(2):
        assert download(1, tmp_path / "b.txt", SHA256, server.address).read_bytes() == BOOK
    assert server.ranges == [None]


@pytest.mark.parametrize("knows_ranges", [True, False])
def test_a_broken_download_goes_on_where_it_stopped(server: Server, tmp_path: Path, knows_ranges: bool) -> None:
    server.cut, server.knows_ranges = 100_000, knows_ranges
    with pytest.raises(UserError, match="no network"):
        download(1, tmp_path / "b.txt", SHA256, server.address)
    assert not (tmp_path / "b.txt").exists()
    server.cut = None
    assert download(1, tmp_path / "b.txt", SHA256, server.address).read_bytes() == BOOK
    assert server.ranges == [None, "bytes=100000-"]


def test_a_part_that_is_longer_than_the_book_is_thrown_away(server: Server, tmp_path: Path) -> None:
    (tmp_path / ".b.txt.part").write_bytes(BOOK + b"more")
    assert download(1, tmp_path / "b.txt", SHA256, server.address).read_bytes() == BOOK


def test_another_file_than_the_checksum_says_is_refused(server: Server, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="SHA-256"):
        download(1, tmp_path / "b.txt", "0" * 64, server.address)
    assert not (tmp_path / "b.txt").exists()


def test_without_a_checksum_the_first_download_is_held_to(server: Server, tmp_path: Path) -> None:
    path = download(1, tmp_path / "b.txt", None, server.address)
    assert (tmp_path / "b.txt.sha256").read_text().split() == [SHA256, "b.txt"]
    path.write_bytes(BOOK + b" ")
    with pytest.raises(UserError, match="not the file that was downloaded"):
        download(1, path, None, server.address)


def test_a_page_that_is_no_book_is_refused(server: Server, tmp_path: Path) -> None:
    server.body = b"<!DOCTYPE html><p>Too many requests</p>"
    with pytest.raises(UserError, match="not a Gutenberg text"):
        download(1, tmp_path / "b.txt", None, server.address)
    assert not (tmp_path / "b.txt").exists()


def test_no_such_book_and_no_network_get_their_own_messages(server: Server, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="answered 404 for ebook 2"):
        download(2, tmp_path / "b.txt", None, server.address)
    with pytest.raises(UserError, match=r"there is no network to http://127\.0\.0\.1:1 "):
        download(1, tmp_path / "b.txt", None, "http://127.0.0.1:1")


def test_text_without_a_licence_is_left_alone() -> None:
    assert strip_licence("It rang.\n\nProduced by hand.\n") == "It rang.\n\nProduced by hand.\n"
