import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_exp.corpus.book import Book
from persona_exp.corpus.passages import find_chunks
from persona_exp.corpus.reading.chapters import Chapter
from persona_exp.errors import UserError


@given(st.lists(st.integers(1, 2000), min_size=1, max_size=4), st.integers(1, 600), st.data())
def test_chunks_cover_each_chapter_and_overlap_exactly(lengths: list[int], characters: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, characters - 1))
    text = "".join(chr(97 + place % 26) for place in range(sum(lengths)))
    ends = [sum(lengths[: place + 1]) for place in range(len(lengths))]
    chapters = tuple(Chapter("", end - length, end) for end, length in zip(ends, lengths, strict=True))
    chunks = find_chunks(Book("b", "B", text, chapters, "0"), characters, overlap)
    assert len({chunk.id for chunk in chunks}) == len(chunks)
    for number, chapter in enumerate(chapters, start=1):
        own = [chunk for chunk in chunks if chunk.chapter == number]
        assert (own[0].start, own[-1].end) == (chapter.start, chapter.end)
        assert all(chunk.text == text[chunk.start : chunk.end] for chunk in own)
        assert all(chunk.end - chunk.start == characters for chunk in own[:-1])
        assert all(after.start == before.end - overlap for before, after in itertools.pairwise(own))
        assert own[-1].end - own[-1].start <= characters


def test_an_overlap_as_long_as_the_chunk_is_refused() -> None:
    with pytest.raises(UserError, match="overlap be smaller"):
        find_chunks(Book("b", "B", "abc", (Chapter("", 0, 3),), "0"), 10, 10)
