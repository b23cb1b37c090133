import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_exp.corpus.reading.book_size_limits import MAX_LINE, MAX_LINES, MAX_TEXT_BYTES
from persona_exp.corpus.reading.raw_text import read_raw
from persona_exp.corpus.reading.text_decoding import decode, decode_with_repairs
from persona_exp.errors import UserError

SENTENCE = "“It’s naïve,” said Mr. Pell—“très bien …”\nThe café cost £5.\n"
LETTERS = st.text(st.sampled_from("abc XYZ.,“”‘’—é\n"), min_size=1).filter(lambda text: text.strip() != "")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252", "mac_roman"])
def test_encodings_are_detected(encoding: str) -> None:
    assert decode(SENTENCE.encode(encoding), "book") == SENTENCE


def test_latin_1_without_typographic_marks() -> None:
    assert decode("Le naïf mangea à la façon d’un élève".replace("’", "'").encode("latin-1"), "book").startswith(
        "Le naïf mangea à la façon"
    )


def test_mac_roman_with_carriage_returns() -> None:
    assert decode(SENTENCE.replace("\n", "\r").encode("mac_roman"), "book") == SENTENCE


def test_line_ends_become_one() -> None:
    assert decode(b"one\r\ntwo\rthree\nfour", "book") == "one\ntwo\nthree\nfour"


@pytest.mark.parametrize("misread_as", ["latin-1", "cp1252"])
def test_text_encoded_twice_is_repaired(misread_as: str) -> None:
    text = "“Don’t,” said he. “I can’t—I won’t—so there’s an end. Café.”"
    twice = (
        text.encode().decode(misread_as, errors="ignore")
        if misread_as == "latin-1"
        else "Don’t, can’t, won’t, it’s".encode().decode("cp1252")
    )
    expected = text if misread_as == "latin-1" else "Don’t, can’t, won’t, it’s"
    assert decode(twice.encode(), "book") == expected


def test_an_accent_before_a_dash_is_not_taken_for_double_encoding() -> None:
    assert decode("LE CAFÉ—a story".encode(), "book") == "LE CAFÉ—a story"


@given(LETTERS)
def test_utf_8_comes_through_unchanged(text: str) -> None:
    assert decode(text.encode(), "book") == text


@pytest.mark.parametrize("data", [b"", b" \n\t ", b"\xef\xbb\xbf"])
def test_empty_is_refused(data: bytes) -> None:
    with pytest.raises(UserError, match=r"The book x\.txt is empty"):
        decode(data, "x.txt")


@pytest.mark.parametrize(
    "data", [b"\x7fELF\x02\x01\x01\0\0\0", bytes(range(256)) * 9, b"\xff\xfe\0", b"%PDF-1.7\n", b"PK\x03\x04rest", b"\x1f\x8b\x08"]
)
def test_binary_is_refused(data: bytes) -> None:
    with pytest.raises(UserError, match="plain text"):
        decode(data, "x.txt")


def test_missing_file_and_folder_are_named(tmp_path) -> None:
    with pytest.raises(UserError, match=r"none\.txt does not exist"):
        read_raw(tmp_path / "none.txt")
    with pytest.raises(UserError, match="is a folder"):
        read_raw(tmp_path)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_its_mark(encoding: str) -> None:
    found = decode_with_repairs(("It rang twice, and nobody came.\n" * 9).encode(encoding), "book")
    assert (found.text[:8], found.encoding) == ("It rang ", "UTF-16")


@pytest.mark.parametrize(
    ("data", "encoding", "repairs"),
    [
        (b"It rang.", "ASCII", ()),
        ("“It rang.”".encode(), "UTF-8", ()),
        ("“It rang.”".encode("cp1252"), "Windows-1252", ()),
        ("It cost £5, né".encode("latin-1") + b"\x81", "Latin-1", ()),
        ("“It rang.”\r“No.”\rIt rang.\r".encode("mac_roman"), "Mac Roman", ("CR line ends",)),
        ("“It rang” — “No” — “Yes”".encode().decode("cp1252", "ignore").encode(), "UTF-8", ("UTF-8 encoded twice",)),
        ("The outre´ bell".encode(), "UTF-8", ("stray accents",)),
    ],
)
def test_what_was_found_and_repaired_is_said(data: bytes, encoding: str, repairs: tuple[str, ...]) -> None:
    found = decode_with_repairs(data, "book")
    assert (found.encoding, found.repairs) == (encoding, repairs)


def test_accents_that_stand_beside_their_letters() -> None:
    assert decode("outre´ ecart´ e butler´ brought from˜ which".encode(), "book") == "outré ecarté butler brought from which"


def test_one_line_that_cannot_be_repaired_keeps_no_other_from_it() -> None:
    twice = "“No,” he said.".encode().decode("latin-1")
    assert decode(f"{twice}\n{twice}\n漢字 stays\n".encode(), "book") == "“No,” he said.\n“No,” he said.\n漢字 stays\n"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a" * (MAX_TEXT_BYTES + 1), "more than any novel"),
        (b"a " * (MAX_LINE // 2 + 1), "line break after each paragraph"),
        (b"a\n" * (MAX_LINES + 1), "million lines"),
    ],
)
def test_what_is_too_large_for_a_novel_is_refused(data: bytes, message: str, tmp_path) -> None:
    (tmp_path / "x.txt").write_bytes(data)
    with pytest.raises(UserError, match=message):
        read_raw(tmp_path / "x.txt")


def test_a_few_wrong_bytes_do_not_spoil_the_rest_of_utf_8() -> None:
    data = ("“It rang,” said he. " * 20).encode() + b"A caf\xe9."
    found = decode_with_repairs(data, "book")
    assert found.text.endswith("” said he. A café.")
    assert (found.encoding, found.repairs) == ("UTF-8", ("bytes that are not UTF-8",))
