"""Sentence pairs of direct and reported speech, and what is given up."""

import pytest

from persona_exp.teacher.rules.reported_speech import report, split_speech
from persona_exp.teacher.rules.tense_backshift import Unsure, backshift

STATEMENTS = [
    ("I am tired", "I was tired"),
    ("The keg is full of shingle", "The keg was full of shingle"),
    ("They are in the hold", "They were in the hold"),
    ("The Fund was a hundred pounds", "The Fund had been a hundred pounds"),
    ("It was not done for money", "It had not been done for money"),
    ("I have heard ten casks", "I had heard ten casks"),
    ("She has a lamp", "She had a lamp"),
    ("I will tell the inspector", "I would tell the inspector"),
    ("We shall weigh it", "We should weigh it"),
    ("You can see the buoy", "You could see the buoy"),
    ("It may rain", "It might rain"),
    ("It must be salt", "It must be salt"),
    ("I know the place", "I knew the place"),
    ("He knows the place", "He knew the place"),
    ("I found the keg", "I had found the keg"),
    ("I never took it", "I had never taken it"),
    ("I did not see it", "I had not seen it"),
    ("I do not guess", "I did not guess"),
    ("He doesn't guess", "He did not guess"),
    ("I don't think that it is lead", "I did not think that it was lead"),
    ("I can't say", "I could not say"),
    ("It's salt", "It was salt"),
    ("I never can go", "I never could go"),
    ("I think that the boat is mine", "I thought that the boat was mine"),
    ("It's been raining", "It had been raining"),
    ("A thief wants silver", "A thief wanted silver"),
    ("I found the keg and took it home", "I had found the keg and taken it home"),
    ("I was certainly very far from it", "I had certainly been very far from it"),
    ("I shall come to-morrow morning", "I should come the next morning"),
    ("I am here now", "I was there then"),
    ("I shall go to-morrow", "I should go the next day"),
    ("This bell is new", "that bell was new"),
    ("I said what I meant", "I had said what I had meant"),
]

SPEECH = [
    ("Bring the eggs, Pell.", "told", "to bring the eggs", "Pell"),
    ("Do not throw it away.", "told", "not to throw it away", ""),
    ("Never hesitate.", None, "", ""),
    ("Read what I have here.", "told", "to read what I had there", ""),
    ("Let us go down.", "proposed", "that we should go down", ""),
    ("Who held the key?", "asked", "who had held the key", ""),
    ("What ailed the boots?", "asked", "what had ailed the boots", ""),
    ("Where does the tank stand?", "asked", "where the tank stood", ""),
    ("When was the store searched?", "asked", "when the store had been searched", ""),
    ("Do you know the man?", "asked", "whether you knew the man", ""),
    ("Did you see the lamp?", "asked", "whether you had seen the lamp", ""),
    ("Is there a boat?", "asked", "whether there was a boat", ""),
    ("Has she gone?", "asked", "whether she had gone", ""),
    ("Will you come?", "asked", "whether you would come", ""),
    ("How long has the lad been so?", "asked", "how long the lad had been so", ""),
    ("What is there upon a Friday, Mrs. Hallam?", "asked", "what there was upon a Friday", "Mrs. Hallam"),
    ("Well, sir, I am content.", "said", "that I was content", ""),
    ("The captain sold it, Pell.", "said", "that the captain had sold it", "Pell"),
    ("No, papa, nobody thought of it.", None, "", ""),
    ("So am I.", None, "", ""),
    ("By the mark.", None, "", ""),
    ("What a tide!", None, "", ""),
    ("When the girl spoke of acid.", None, "", ""),
    ("You suppose, I should not care.", None, "", ""),
    ("What has an old parrot that a young one has not?", None, "", ""),
    ("I'd have gone.", None, "", ""),
]


@pytest.mark.parametrize(("said", "shifted"), STATEMENTS)
def test_backshift(said: str, shifted: str) -> None:
    assert backshift(said) == shifted


@pytest.mark.parametrize(
    "said",
    [
        "Dry sand on top",
        "Six thousand pounds",
        "The men that go know it",
        "I ain't sure",
        "All else fails me I have one",
        "I see it is salt",
        "I think the boat is mine",
        "I see it is ma'am",
        "You are too apt, you know, to like the sea",
        "They are too apt you know, to like the sea",
        "I am content, and most sincerely wish them well",
        "",
    ],
)
def test_backshift_gives_up(said: str) -> None:
    with pytest.raises(Unsure):
        backshift(said)


@pytest.mark.parametrize(("sentence", "act", "text", "hearer"), SPEECH)
def test_report(sentence: str, act: str | None, text: str, hearer: str) -> None:
    if act is None:
        with pytest.raises(Unsure):
            report(sentence)
        return
    shifted, named = report(sentence)
    assert (shifted.act, shifted.text, named) == (act, text, hearer)


def test_titles_do_not_end_a_sentence_but_i_does() -> None:
    assert split_speech("So am I. Ask Mr. Pell. Then go.") == ["So am I.", "Ask Mr. Pell.", "Then go."]
