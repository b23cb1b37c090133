import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_exp.corpus.text import decode, read_text
from persona_exp.errors import UserError

SENTENCE = "“It’s naïve,” said Mr. Pell—“très bien …”\nThe café cost £5.\n"
LETTERS = st.text(st.sampled_from("abc XYZ.,“”‘’—é\n"), min_size=1).filter(lambda text: text.strip() != "")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252", "mac_roman"])
def test_encodings_are_told_apart(encoding: str) -> None:
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
        read_text(tmp_path / "none.txt")
    with pytest.raises(UserError, match="is a folder"):
        read_text(tmp_path)
