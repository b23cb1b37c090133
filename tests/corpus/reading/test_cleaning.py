import time

import pytest

from persona_exp.corpus.reading.footnotes import strip_footnotes
from persona_exp.corpus.reading.line_end_hyphens import join_hyphens
from persona_exp.corpus.reading.markup_removal import remove_markup
from persona_exp.corpus.reading.paragraph_breaks import separate_paragraphs
from persona_exp.corpus.reading.removed_text import Cuts


@pytest.mark.parametrize(
    ("text", "joined"),
    [
        ("An exam-\nple of it.", "An example\nof it."),
        ("A wicket-\ngate. The wicket-gate.", "A wicket-gate.\nThe wicket-gate."),
        ("A sea-\nman. The seaman went to sea. A man.", "A seaman.\nThe seaman went to sea. A man."),
        ("A harbour-\nmaster. The harbour has a master.", "A harbour-master.\nThe harbour has a master."),
        ("An open-\nmouthed boy. An open mouth.", "An open-mouthed\nboy. An open mouth."),
        ("Saltmere-\nCross lies there.", "Saltmere-Cross\nlies there."),
        ("It was--\nno matter.", "It was--\nno matter."),
        ("The last exam-\nple.\n\nNext.", "The last example.\n\nNext."),
    ],
)
def test_words_parted_at_line_ends(text: str, joined: str) -> None:
    assert join_hyphens(text, Cuts()) == joined


def test_footnotes_go_with_their_marks() -> None:
    text = (
        "The bell[1] rang.[*]\n\n[1] It was cast in Delft.\n\n[*] Twice.\n\nThe elders2 came.\n\n2 Heifer is their word.\n\nNo. 2 left.\n"
    )
    cuts = Cuts()
    assert strip_footnotes(text, cuts).split("\n\n") == ["The bell rang.", "", "", "The elders came.", "", "No. 2 left.\n"]
    assert {cut.kind: cut.number for cut in cuts.all()} == {"footnote": 3, "footnote marker": 3}


def test_numbers_that_no_note_explains_stay() -> None:
    text = "Engine no7 ran.\n\nPlatform12 was shut.\n"
    assert strip_footnotes(text, Cuts()) == text


def test_transcribers_notes_and_bold_words_go() -> None:
    text = "It *rang* =twice=.\n\n[Transcriber's Note: one word\nwas changed.]\n\nTranscriber’s Notes:\nSpelling kept.\n\nIt fell.\n"
    cuts = Cuts()
    assert remove_markup(text, cuts).split() == ["It", "rang", "twice.", "It", "fell."]
    assert {cut.kind: cut.number for cut in cuts.all()} == {"transcriber's note": 2, "emphasis": 2}


def test_scene_breaks_and_blanks_in_names_stay() -> None:
    text = "Mr. ____ came.\n\n* * *\n\n*****\n\na = b\n"
    assert remove_markup(text) == text


def test_paragraphs_that_only_an_indent_parts() -> None:
    text = "".join("    The water rose and\nfell again, and the boat\nswung on its chain.\n" for _ in range(10))
    assert len(remove_markup(text).strip().split("\n\n")) == 10


def test_a_line_in_an_unfinished_speech_belongs_to_it() -> None:
    long = "word " * 60
    text = f"{long}end.\n“It was Mr.\nPell who rang, {long}and he left.” “Did he?”\n“He did.”\n{long}end.\n"
    assert len(separate_paragraphs(text).strip().split("\n\n")) == 4


LINES = [b"tide " * 400_000, b"t" * 2_000_000, b"a" + b" " * 2_000_000 + b"b", b"_a " * 600_000, b"[" * 2_000_000, b"[Page " * 300_000]
PIECES = [b"." * 2_000_000 + b"a", b"[Illustration" + b"[a]" * 600_000, b"a-\n" * 300_000, b"I.\n\n" * 100_000, b"Contents\n\n" * 50_000]


@pytest.mark.long
@pytest.mark.parametrize("text", [text.decode() for text in LINES + PIECES], ids=range(len(LINES + PIECES)))
def test_cleaning_takes_time_in_proportion(text: str) -> None:
    start = time.process_time()
    remove_markup(text)
    # Linear: about a second at most here; what looks twice at each place takes hours.
    assert time.process_time() - start < 20


def test_a_chapter_number_above_prose_stands_alone_and_above_a_title_does_not() -> None:
    prose = "\n".join(["The water rose and fell again, and the boat swung on its chain."] * 6)
    text = f"CHAPTER I\n{prose}\n\nCHAPTER II\nThe Bell\n\n{prose}\n"
    assert remove_markup(text) == text.replace("CHAPTER I\n", "CHAPTER I\n\n")
