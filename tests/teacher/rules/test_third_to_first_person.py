"""Sentence pairs: what the narration says, and what the persona says of it. None: a reference or a case is unsure."""

import pytest

from persona_exp.teacher.rules.grammar_tokens import find_names
from persona_exp.teacher.rules.pronoun_resolution import Scene
from persona_exp.teacher.rules.sentence_splitting import split_passage
from persona_exp.teacher.rules.third_to_first_person import rewrite

OTHERS = ("Edwin Pell", "Lucius Crane", "Dorcas Hallam", "Ann Loame")

HE = [
    # Subjects, and the verb that agrees.
    ("Wrexham took up the lamp.", "I took up the lamp."),
    ("Mr. Wrexham was upon the ladder.", "I was upon the ladder."),
    ("Wrexham has a lead of seven pounds.", "I have a lead of seven pounds."),
    ("Wrexham is fond of the tide-table.", "I am fond of the tide-table."),
    ("Wrexham goes to the quay each morning.", "I go to the quay each morning."),
    ("Wrexham never carries an umbrella.", "I never carry an umbrella."),
    ("Wrexham does not care for adjectives.", "I do not care for adjectives."),
    ("Wrexham doesn't care for adjectives.", "I don't care for adjectives."),
    ("Presently Wrexham rose.", "Presently I rose."),
    ("On the Monday morning Wrexham went out.", "On the Monday morning I went out."),
    ("When the bell rang, Wrexham lit his pipe.", "When the bell rang, I lit my pipe."),
    ("The door opened, and Wrexham came in.", "The door opened, and I came in."),
    ("It was Wrexham who found the keg.", "It was I who found the keg."),
    ("Never had Wrexham seen such a tide.", "Never had I seen such a tide."),
    ("Wrexham himself wound the clock.", "I myself wound the clock."),
    ("Wrexham, rising slowly, put out the light.", "I, rising slowly, put out the light."),
    ("Wrexham, who had listened to it all, shut the book.", "I, who had listened to it all, shut the book."),
    # Objects.
    ("The boat was waiting for Wrexham.", "The boat was waiting for me."),
    ("They handed Wrexham the lantern.", "They handed me the lantern."),
    ("The rope fell beside Wrexham.", "The rope fell beside me."),
    # Possessives and reflexives.
    ("Wrexham's pipe lay on the table.", "My pipe lay on the table."),
    ("Wrexham shook his head.", "I shook my head."),
    ("Wrexham took a book of his from the shelf.", "I took a book of mine from the shelf."),
    ("Wrexham threw himself into a chair.", "I threw myself into a chair."),
    ("Rubbing his hands, Wrexham went to the window.", "Rubbing my hands, I went to the window."),
    ("Wrexham looked about him.", "I looked about me."),
    ("Wrexham sat down, and he took off his boots.", "I sat down, and I took off my boots."),
    ("Wrexham shook his head at Crane.", "I shook my head at Crane."),
    # Together with somebody.
    ("Wrexham and Crane went down the steps.", "Crane and I went down the steps."),
    ("Crane and Wrexham went down the steps.", "Crane and I went down the steps."),
    # Whose it is, nobody can tell.
    ("Wrexham followed Crane until he stopped.", None),
    ("Crane came in, and he looked at Wrexham.", None),
    ("Wrexham laid a hand upon his shoulder.", None),
    ("Wrexham gave him the lamp.", None),
    ("Wrexham took his arm.", None),
    ("He took up the lamp.", None),
    ("Poor Wrexham was tired.", None),
    ("Mrs. Wrexham was tired.", "Mrs. Wrexham was tired."),
    ("Nothing but concern for Wrexham could keep Crane there.", None),
    ("A good lamp! thought Wrexham.", None),
    # Nobody sees his own face, or seems.
    ("Wrexham seemed to be asleep.", None),
    ("Wrexham's face clouded over.", None),
    ("Wrexham looked pale.", None),
    ("Wrexham takes a boat and rows to the buoy.", None),
    # The author's own voice.
    ("I have told you of Wrexham's lead.", None),
]

SHE = [
    ("Mrs. Loame put her basket on the table.", "I put my basket on the table."),
    ("Mrs. Loame was glad, and she told nobody.", "I was glad, and I told nobody."),
    ("The rain had wetted Mrs. Loame to the skin.", "The rain had wetted me to the skin."),
    ("Mrs. Loame went to her window and looked about her.", "I went to my window and looked about me."),
    ("Mrs. Loame let her go.", None),
    ("Mrs. Loame listened; grieved for her more and more, and went out.", None),
    ("Mrs. Loame carried her umbrella.", "I carried my umbrella."),
    ("Mrs. Loame thanked Mrs. Hallam for her trouble.", None),
]

NARRATED_BY_PELL = [
    ("Wrexham and I went down to the quay.", "Pell and I went down to the quay."),
    ("Wrexham beckoned to me.", "I beckoned to Pell."),
    ("Wrexham handed me my hat.", "I handed Pell his hat."),
    ("I followed Wrexham up the stair.", "Pell followed me up the stair."),
    ("I gave my lantern to Wrexham.", "Pell gave his lantern to me."),
    ("I gave the keeper my lantern.", "Pell gave the keeper Pell's lantern."),
    ("I thought that Wrexham was asleep.", None),
    ("To my surprise Wrexham laughed.", None),
    ("We followed Wrexham to the door.", None),
    ("Wrexham led us to the door.", None),
]


def _rewritten(text: str, aliases: tuple[str, ...], pronoun: str, narrator: str | None) -> str | None:
    sentences = split_passage(text)
    assert len(sentences) == 1
    names = find_names(aliases, OTHERS, narrator, sentences)
    made = rewrite(sentences[0], Scene(), names, pronoun)
    return None if made is None else made.text


@pytest.mark.parametrize(("text", "rewritten"), HE)
def test_he_becomes_i(text: str, rewritten: str | None) -> None:
    assert _rewritten(text, ("Tobias Wrexham", "Wrexham", "Mr. Wrexham"), "he", None) == rewritten


@pytest.mark.parametrize(("text", "rewritten"), SHE)
def test_she_becomes_i(text: str, rewritten: str | None) -> None:
    assert _rewritten(text, ("Ann Loame", "Mrs. Loame"), "she", None) == rewritten


@pytest.mark.parametrize(("text", "rewritten"), NARRATED_BY_PELL)
def test_the_narrator_is_called_by_his_name(text: str, rewritten: str | None) -> None:
    assert _rewritten(text, ("Tobias Wrexham", "Wrexham", "Mr. Wrexham"), "he", "Edwin Pell") == rewritten


def test_a_pronoun_goes_on_meaning_the_persona_until_somebody_else_is_named() -> None:
    sentences = split_passage("Wrexham opened the door. He went in. Crane was there. He sat down.")
    names = find_names(("Wrexham",), OTHERS, None, sentences)
    scene = Scene()
    rewritten = [rewrite(sentence, scene, names, "he") for sentence in sentences]
    assert [made.text if made else None for made in rewritten] == ["I opened the door.", "I went in.", "Crane was there.", None]


def test_they_as_pronoun_of_the_persona_is_never_resolved() -> None:
    assert _rewritten("Wrexham lost their hat.", ("Wrexham",), "they", None) is None
