"""Who speaks, told by a language model: every scene of a book is shown to it, with its quotations numbered and the cast to choose from."""

from collections.abc import Collection, Iterator, Sequence

from persona_exp.corpus.quotation.quotes import Quote, Span
from persona_exp.corpus.reading.paragraphs import Paragraph
from persona_exp.dataset.source import Source
from persona_exp.teacher.speakers import Scene, numbered

# A scene is shown whole up to so many words: enough for a conversation, and far within what small models read.
SCENE_WORDS = 1500
Shown = tuple[Scene, list[Quote]]


def scenes(source: Source, hidden: Collection[str]) -> Iterator[Shown]:
    """The scenes of a book in which somebody speaks, with the quotations of each; none that touches a passage in `hidden`."""
    text = source.book.text
    cast = tuple(character.name for character in source.characters)
    for paragraphs, quotes in zip(source.paragraphs, source.quotes, strict=True):
        for first, last in _stretches(text, paragraphs):
            start, end = paragraphs[first].start, paragraphs[last].end
            here = [quote for quote in quotes if first <= quote.first <= last]
            seen = {passage.id for passage in source.passages if passage.start < end and passage.end > start}
            if here and not seen & set(hidden):
                spans = [[(begins - start, ends - start) for begins, ends in quote.spans if ends <= end] for quote in here]
                yield Scene(numbered(text[start:end], spans), len(here), cast), here


def told(shown: Sequence[Shown], answers: Sequence[Sequence[str | None]]) -> dict[Span, str]:
    """The speakers that were named, by the first piece of their quotation."""
    named: dict[Span, str] = {}
    for (_, quotes), speakers in zip(shown, answers, strict=True):
        named |= {quote.spans[0]: speaker for quote, speaker in zip(quotes, speakers, strict=True) if speaker is not None}
    return named


def _stretches(text: str, paragraphs: Sequence[Paragraph]) -> Iterator[tuple[int, int]]:
    """The first and the last of consecutive paragraphs of one scene that have at most `SCENE_WORDS` words, or are one paragraph."""
    begin, words = 0, 0
    for index, paragraph in enumerate(paragraphs):
        length = len(text[paragraph.start : paragraph.end].split())
        if index > begin and (words + length > SCENE_WORDS or paragraph.scene != paragraphs[begin].scene):
            yield begin, index - 1
            begin, words = index, 0
        words += length
    if paragraphs:
        yield begin, len(paragraphs) - 1
