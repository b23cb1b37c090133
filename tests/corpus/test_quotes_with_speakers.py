from persona_exp.corpus.book import Book
from persona_exp.corpus.cast.character import Character
from persona_exp.corpus.quotes_with_speakers import LOST_MARK, find_quotes_with_speakers
from persona_exp.corpus.reading.chapters import Chapter
from persona_exp.corpus.reading.paragraphs_and_scenes import find_paragraphs
from persona_exp.corpus.speaker_attribution.attribution_confidence import DEFAULT_CONFIDENCE

ONE = "“Sound it,” said Tobias Wrexham.\n\n“It is deep,” said Edwin Pell.\n\nThey waited for the tide."
TWO = "The fog came down.\n\n“Here, said Wrexham.\n\nNobody spoke.\n\n“Ah,” said Pell."


def book() -> Book:
    text = f"{ONE}\n\n{TWO}"
    chapters = (Chapter("One", 0, len(ONE)), Chapter("Two", len(ONE) + 2, len(text)))
    return Book("fog", "Fog", text, chapters, "0" * 64)


def test_each_quotation_has_its_chapter_paragraph_and_speaker() -> None:
    speech = find_quotes_with_speakers(book())
    assert [(quote.chapter, quote.first, quote.text, quote.speaker) for quote in speech.quotes] == [
        (1, 0, "Sound it.", "Tobias Wrexham"),
        (1, 1, "It is deep.", "Edwin Pell"),
        (2, 1, "Here.", "Tobias Wrexham"),
        (2, 3, "Ah.", "Edwin Pell"),
    ]
    for quote in speech.quotes:
        chapter = book().chapters[quote.chapter - 1]
        paragraph = find_paragraphs(book().text, chapter.start, chapter.end)[quote.first]
        assert paragraph.start <= quote.start <= quote.end <= paragraph.end


def test_who_speaks_where_a_mark_was_lost_is_trusted_less() -> None:
    confidence = {quote.text: quote.confidence for quote in find_quotes_with_speakers(book()).quotes}
    assert confidence["Here."] <= LOST_MARK < confidence["Sound it."]


def test_given_characters_give_their_names_to_the_speakers() -> None:
    speech = find_quotes_with_speakers(book(), [Character("Captain Wrexham", ("Wrexham", "Tobias Wrexham"))])
    assert speech.characters[0].name == "Captain Wrexham"
    assert [quote.speaker for quote in speech.quotes] == ["Captain Wrexham", "Edwin Pell"] * 2


def test_the_nameless_beside_a_given_character_are_not_trusted_to_be_him() -> None:
    scene = (
        "Mrs. Hallam went out. Tobias lay by the fire; Tobias was cold, and Mrs. Hallam had left Tobias alone.\n\n"
        "“He is better,” said the lame man.\n\nThen Tobias woke. “I am cold,” said Tobias.\n\n“Sir!” cried the fat gentleman.\n\n"
        "“No,” said Tobias. “Eat,” said Mrs. Hallam.\n\n"
    )
    text = scene * 4
    found = find_quotes_with_speakers(
        Book("mill", "Mill", text, (Chapter("One", 0, len(text)),), "0" * 64), [Character("Tobias Quill", ("Tobias",))]
    )
    trusted = [quote.text for quote in found.quotes if quote.speaker == "Tobias Quill" and quote.confidence >= DEFAULT_CONFIDENCE]
    assert set(trusted) == {"I am cold.", "No."}


def test_a_description_that_the_book_keeps_to_one_person_is_trusted() -> None:
    text = "Quill sat down. “It is late,” said the miller.\n\n“It is,” said Mrs. Hallam.\n\n" * 8
    found = find_quotes_with_speakers(
        Book("mill", "Mill", text, (Chapter("One", 0, len(text)),), "0" * 64), [Character("Tobias Quill", ("Quill",))]
    )
    assert {(quote.speaker, quote.confidence >= DEFAULT_CONFIDENCE) for quote in found.quotes[::2]} == {("Tobias Quill", True)}
