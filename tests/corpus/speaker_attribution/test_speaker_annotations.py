from pathlib import Path

import pytest

from persona_exp.corpus.quotation.quotes import find_quotes
from persona_exp.corpus.reading.paragraphs_and_scenes import find_paragraphs
from persona_exp.corpus.speaker_attribution.speaker_annotations import apply_speaker_annotations, read_speaker_annotations
from persona_exp.errors import UserError


def test_pieces_get_the_speakers_given_and_are_cut_where_they_change() -> None:
    text = "“Yes,” said he. “No.” He rose, “Go on.” “Not a soul.”"
    paragraphs = find_paragraphs(text)
    (quote,) = find_quotes(text, paragraphs)
    given = dict(zip(quote.spans, ["A", "B", "B", ""], strict=True))
    decided = apply_speaker_annotations([quote], text, paragraphs, given)
    assert [(one.speaker, one.text, one.rule) for one in decided] == [("A", "Yes.", "given"), ("B", "No. Go on.", "given")]


def test_what_the_file_does_not_list_is_nobodys() -> None:
    text = "“Yes,” said he."
    paragraphs = find_paragraphs(text)
    assert [quote.speaker for quote in apply_speaker_annotations(find_quotes(text, paragraphs), text, paragraphs, {})] == [None]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b\n1,2\n", "no columns book, start"),
        ("book,start,end,speaker,text\nx.txt,one,2,A,b\n", "Line 2"),
        ("book,start,end,speaker,text\nx\n", "Line 2"),
    ],
)
def test_a_file_that_is_not_so_is_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "gold.csv").write_text(content)
    with pytest.raises(UserError, match=message):
        read_speaker_annotations(tmp_path / "gold.csv")
