"""The offline teacher as a whole: what it drafts, that it is the same each time, and what it never writes."""

import re
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import persona_exp
from persona_exp.corpus.book import read_book
from persona_exp.corpus.passages import find_passages
from persona_exp.dataset.era_knowledge import inventions
from persona_exp.dataset.prose_normalisation import normalise_prose
from persona_exp.teacher.draft_checks import reject
from persona_exp.teacher.rules import RulesTeacher
from persona_exp.teacher.rules.phrase_templates import phrases
from persona_exp.teacher.rules.sentence_splitting import mask, split_passage
from persona_exp.teacher.teacher_interface import Draft, Request, Voice

SALTMERE = Path(persona_exp.__file__).parent / "corpus" / "bundled" / "saltmere"
WREXHAM = Voice("Tobias Wrexham", ("Wrexham", "Mr. Wrexham"), "he", False, "England in the 1880s", "You are Tobias Wrexham.")
HALLAM = Voice("Dorcas Hallam", ("Mrs. Hallam",), "she", False, "England in the 1880s", "You are Dorcas Hallam.")
PELL = Voice("Edwin Pell", ("Pell", "Mr. Pell"), "he", True, "England in the 1880s", "You are Edwin Pell.")
CAST = ("Edwin Pell", "Lucius Crane", "Dorcas Hallam", "Tobias Wrexham")
PASSAGE = (
    "The rain had stopped before six. Wrexham took the lantern from its nail, and went down the cellar steps with the key in his hand. "
    "He found the glove under the settle.\n\n"
    '"It is a left glove," said Wrexham, and put it in his pocket. "The keg was full of shingle."\n\n'
    '"Whose is it?" asked Mrs. Hallam.\n\n'
    "Mrs. Hallam put the kettle on the fire. When the bell rang, Wrexham opened the street door."
)
WORDS = re.split(
    " ",
    "Wrexham Mrs. Hallam Crane he she him his her himself it they the a lamp door keg took was is went put said cried and but when that "
    'of to in under I me my we us you "Go on," "No." . , ; — ? ! \n\n Mr. did not had been found 7 Holmes\'s Wrexham\'s',
)


def _request(task: str, voice: Voice = WREXHAM, passage: str = PASSAGE, **more: object) -> Request:
    others = tuple(name for name in CAST if name != voice.name)
    return replace(Request(task, voice, passage, None if voice.narrator else "Edwin Pell", others), **more)  # type: ignore[arg-type]


def _saltmere() -> list[str]:
    return [normalise_prose(passage.text) for path in sorted(SALTMERE.glob("*.txt")) for passage in find_passages(read_book(path))]


def test_a_task_that_rules_cannot_write_has_no_drafts() -> None:
    assert RulesTeacher().drafts(_request("hypothetical", reply="I take soundings.")) == ()


def test_narrative_tells_the_passage_in_the_first_person() -> None:
    (draft,) = RulesTeacher().drafts(_request("narrative"))
    assert draft.assistant.startswith(
        "I took the lantern from its nail, and went down the cellar steps with the key in my hand. I found the glove"
    )
    assert '"It is a left glove," said I, and put it in my pocket.' in draft.assistant
    assert "kettle" not in draft.assistant.split("\n\n")[0]
    assert draft.user.endswith(("?", "."))


def test_narrative_of_a_narrator_is_his_own_words_without_speech() -> None:
    before = "I took the lantern and followed the keeper down the steps. The place smelt of wet brick."
    behind = "I went on, and my hat fell into the pit."
    (draft,) = RulesTeacher().drafts(_request("narrative", PELL, f'{before}\n\n"Go on," said he.\n\n{behind}'))
    assert draft.assistant == f"{before}\n\n{behind}"


def test_questions_are_answered_by_the_account() -> None:
    drafts = RulesTeacher().drafts(_request("qa", count=8))
    assert Draft("Where did you find the glove?", "I found the glove under the settle.") in drafts
    assert any(draft.assistant == "I said that the keg had been full of shingle." and "the keg" in draft.user for draft in drafts)
    assert RulesTeacher().drafts(_request("qa", count=1)) == RulesTeacher().drafts(_request("qa", count=1))
    assert len(RulesTeacher().drafts(_request("qa", count=1))) == 1
    assert RulesTeacher().drafts(_request("qa", count=0)) == ()


def test_transformed_tells_a_reply_afterwards() -> None:
    request = _request(
        "transformed", passage="", user="Where is the weight?", reply="That is a paint-keg, Pell. I have heard ten thousand casks."
    )
    (draft,) = RulesTeacher().drafts(request)
    assert draft.assistant == "I told Pell that that was a paint-keg, and that I had heard ten thousand casks."
    assert "Where is the weight?" in draft.user


@pytest.mark.parametrize("reply", ["", "Hm.", "So am I.", "By the mark, seven!", "I'd sooner 'ave a kettle, sir.", 'He said "no" to me.'])
def test_transformed_gives_nothing_where_it_is_unsure(reply: str) -> None:
    assert RulesTeacher().drafts(_request("transformed", passage="", user="And then?", reply=reply)) == ()


def test_transformed_speaks_to_the_same_person_where_the_reply_did() -> None:
    (draft,) = RulesTeacher().drafts(
        _request("transformed", passage="", user="I never took it.", reply="Then you have nothing to fear. Sit down.")
    )
    assert draft.assistant == "I told you that you had nothing to fear. I told you to sit down."
    assert re.search(r"\bI said\b|\bMy words\b", draft.user)


def test_contrast_asks_what_somebody_else_did_and_says_that_it_is_not_known() -> None:
    drafts = RulesTeacher().drafts(_request("contrast", about="absent", count=3))
    assert any("Mrs. Hallam" in draft.user for draft in drafts)
    assert {draft.assistant for draft in drafts} <= set(phrases("evasions_absent"))
    drafts = RulesTeacher().drafts(_request("contrast", about="other", count=3))
    assert {draft.assistant for draft in drafts} <= set(phrases("evasions_other"))


def test_contrast_uses_the_evasions_of_the_persona() -> None:
    own = ("I have not sounded that", "Nobody logs what nobody sees.")
    for draft in RulesTeacher().drafts(_request("contrast", replace(WREXHAM, evasions=own), about="absent", count=3)):
        assert draft.assistant.startswith(own)
        assert re.search(r"\bI\b", draft.assistant)


# No draft may hold "ChatGPT": a model may call itself so.
@pytest.mark.parametrize("invention", [name for name, _ in inventions() if name != "ChatGPT"])
def test_contrast_calls_an_invention_as_the_list_does(invention: str) -> None:
    request = _request("contrast", passage="", about=invention, count=18)
    drafts = RulesTeacher().drafts(request)
    assert len({draft.user for draft in drafts}) == len(drafts) >= 15
    for draft in drafts:
        assert invention in draft.user
        assert invention.startswith("the ") or f"the {invention}" not in draft.user + draft.assistant
        assert "{" not in draft.user + draft.assistant
        assert reject(request, draft) is None


def test_several_things_are_not_asked_about_as_one() -> None:
    drafts = RulesTeacher().drafts(_request("contrast", passage="", about="Zoom video calls", count=18))
    assert not any(re.search(r"Is Zoom|calls has\b", draft.user) for draft in drafts)
    one = RulesTeacher().drafts(_request("contrast", passage="", about="Microsoft Windows", count=18))
    assert any(draft.user.startswith("Is Microsoft Windows") for draft in one)


@pytest.mark.parametrize(
    ("passage", "asked"),
    [
        ("Mrs. Hallam hung her shawl behind the door.", "Where did Mrs. Hallam hang her shawl?"),
        ("Crane dragged his boat across the shingle.", "Did Crane drag his boat across the shingle?"),
        ("The gate was locked; and Crane climbed over the wall.", "Did Crane climb over the wall?"),
        ("That evening Crane was taken into the watch-house.", "Was Crane taken into the watch-house?"),
    ],
)
def test_contrast_asks_about_a_named_deed(passage: str, asked: str) -> None:
    assert asked in {draft.user for draft in RulesTeacher().drafts(_request("contrast", passage=passage, about="absent", count=3))}


@pytest.mark.parametrize(
    "passage",
    [
        "The old man coughed, and Crane heard his step upon the stairs.",
        "Wrexham was taken into the watch-house by Crane.",
        "Crane was never seen in the town.",
        "Somebody crept into the hall.",
    ],
)
def test_contrast_asks_nothing_of_an_unclear_deed(passage: str) -> None:
    assert RulesTeacher().drafts(_request("contrast", passage=passage, about="absent", count=3)) == ()


def test_a_question_about_the_second_clause_of_an_answer() -> None:
    (draft,) = RulesTeacher().drafts(_request("qa", passage="Crane rang the bell, and Wrexham hid the lamp in the cupboard.", count=1))
    assert draft == Draft("Where did you hide the lamp?", "Crane rang the bell, and I hid the lamp in the cupboard.")


def test_there_are_templates_enough() -> None:
    assert len(phrases("account")) >= 20
    assert len(phrases("transformed")) >= 20
    assert len(phrases("ask_later")) >= 15
    for name in ("evasions_absent", "evasions_other", "evasions_later"):
        assert len(set(phrases(name))) >= 25


@pytest.mark.long
@pytest.mark.parametrize("voice", [WREXHAM, HALLAM, PELL])
def test_drafts_from_the_bundled_stories_pass_the_checks(voice: Voice) -> None:
    made = refused = 0
    for passage in _saltmere():
        for task, about in (("narrative", ""), ("qa", ""), ("contrast", "absent"), ("contrast", "other")):
            request = _request(task, voice, passage, about=about, count=3)
            for draft in RulesTeacher().drafts(request):
                made += 1
                refused += reject(request, draft) is not None
    assert made >= 20
    assert refused <= made / 50


def _no_third_person(draft: Draft, voice: Voice) -> None:
    narration = mask(draft.assistant)
    assert re.search(r"\b(?:I|me|my|mine|myself|[Ww]e|us|our)\b", narration)
    for name in (voice.name, *voice.aliases):
        assert not re.search(rf"(?<![\w.-] )(?<![\w-]){re.escape(name)}(?![\w-]) (?:was|had|took|went|put|said|found)\b", narration)
    assert draft.assistant.rstrip("\"')")[-1] in ".!?"


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=60), st.sampled_from([WREXHAM, HALLAM]), st.sampled_from(["narrative", "qa"]))
def test_word_salad_never_gives_a_third_person_or_an_exception(words: list[str], voice: Voice, task: str) -> None:
    request = _request(task, voice, normalise_prose(" ".join(words)), count=4)
    drafts = RulesTeacher().drafts(request)
    assert drafts == RulesTeacher().drafts(request)
    for draft in drafts:
        _no_third_person(draft, voice)


@settings(max_examples=200, deadline=None)
@given(
    st.text(max_size=200),
    st.text(max_size=120),
    st.sampled_from(["narrative", "qa", "transformed", "contrast"]),
    st.sampled_from([WREXHAM, PELL]),
)
def test_any_text_is_survived(passage: str, other: str, task: str, voice: Voice) -> None:
    for about in ("absent", "other", other):
        request = _request(task, voice, passage, user=other, reply=passage, about=about, count=2)
        for draft in RulesTeacher().drafts(request):
            assert draft.user.strip()
            assert draft.assistant.strip()


def test_an_account_rewritten_again_stays_the_same() -> None:
    """What is in the first person already has nothing left to rewrite: a narrator's account of it is the same text."""
    (draft,) = RulesTeacher().drafts(_request("narrative"))
    narration = "\n\n".join(part for part in draft.assistant.split("\n\n") if '"' not in part)
    (again,) = RulesTeacher().drafts(_request("narrative", replace(WREXHAM, narrator=True), narration))
    assert again.assistant == narration


def test_time_grows_with_the_passage_only() -> None:
    def seconds(times: int) -> float:
        request = _request("narrative", passage="\n\n".join([PASSAGE] * times))
        best = float("inf")
        for _ in range(3):
            start = time.process_time()
            RulesTeacher().drafts(request)
            best = min(best, time.process_time() - start)
        return best

    # Sixteen times the text in quadratic time would take 256 times as long.
    assert seconds(160) < 60 * seconds(10)


def test_one_long_line_is_read_in_linear_time() -> None:
    start = time.process_time()
    RulesTeacher().drafts(_request("narrative", passage="Wrexham took the lamp and the key and " * 4000 + "went."))
    RulesTeacher().drafts(_request("qa", passage="Wrexham took the lamp. " * 4000, count=2))
    assert time.process_time() - start < 60


def test_sentences_keep_titles_and_speech_together() -> None:
    sentences = split_passage('Mr. Pell rose. "Go on," said Wrexham. "I hear you." "Why?" Wrexham asked. He sat down.')
    assert [sentence.text for sentence in sentences] == [
        "Mr. Pell rose.",
        '"Go on," said Wrexham.',
        '"I hear you."',
        '"Why?" Wrexham asked.',
        "He sat down.",
    ]
