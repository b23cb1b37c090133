"""Scenes for attribution by a language model: a book in pieces, with the quotations numbered and the cast to choose from."""

from collections.abc import Collection, Iterator, Sequence

from persona_exp.corpus.quotation.quotes import Quote, Span
from persona_exp.corpus.reading.paragraphs_and_scenes import Paragraph
from persona_exp.dataset.annotated_book import AnnotatedBook
from persona_exp.teacher.llm_attribution import Scene, numbered

# A scene is shown whole up to so many words: enough for a conversation, and far within what small models read.
SCENE_WORDS = 1500
SceneQuotes = tuple[Scene, list[Quote]]


def scenes(annotated: AnnotatedBook, hidden: Collection[str]) -> Iterator[SceneQuotes]:
    """Yield the scenes of a book in which a character speaks, with the quotations of each; none that touches a passage in `hidden`."""
    text = annotated.book.text
    cast = tuple(character.name for character in annotated.characters)
    for paragraphs, quotes in zip(annotated.paragraphs, annotated.quotes, strict=True):
        for first, last in _stretches(text, paragraphs):
            start, end = paragraphs[first].start, paragraphs[last].end
            here = [quote for quote in quotes if first <= quote.first <= last]
            seen = {passage.id for passage in annotated.passages if passage.start < end and passage.end > start}
            if here and not seen & set(hidden):
                spans = [[(begins - start, ends - start) for begins, ends in quote.spans if ends <= end] for quote in here]
                yield Scene(numbered(text[start:end], spans), len(here), cast), here


def speakers_of_quotes(shown: Sequence[SceneQuotes], answers: Sequence[Sequence[str | None]]) -> dict[Span, str]:
    """Return the speakers that were named, by the first piece of their quotation."""
    named: dict[Span, str] = {}
    for (_, quotes), speakers in zip(shown, answers, strict=True):
        named |= {quote.spans[0]: speaker for quote, speaker in zip(quotes, speakers, strict=True) if speaker is not None}
    return named


def _stretches(text: str, paragraphs: Sequence[Paragraph]) -> Iterator[tuple[int, int]]:
    """Yield the first and the last of consecutive paragraphs of one scene that have at most `SCENE_WORDS` words, or are one paragraph."""
    begin, words = 0, 0
    for index, paragraph in enumerate(paragraphs):
        length = len(text[paragraph.start : paragraph.end].split())
        if index > begin and (words + length > SCENE_WORDS or paragraph.scene != paragraphs[begin].scene):
            yield begin, index - 1
            begin, words = index, 0
        words += length
    if paragraphs:
        yield begin, len(paragraphs) - 1
