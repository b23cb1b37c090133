"""What a draft must keep to, reason by reason."""

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_exp.teacher import prompts
from persona_exp.teacher.draft_checks import REASONS, reject
from persona_exp.teacher.draft_names import new_names, speaks_of, vocabulary
from persona_exp.teacher.draft_numbers import numbers
from persona_exp.teacher.teacher_interface import Draft, Request, Voice

GOOD = "I knelt by the ferry steps and measured the rope. Mrs. Dunn said that somebody had cut it with a blunt knife."
ASKED = "What did you do at the steps?"
SCRAPS = ["I", "went", "to the", "ferry.", "and", "Blackmore", "said", "of", "Bristol,", "four", "or", "five.", "Mrs.", "Dunn"]


@pytest.mark.parametrize(
    ("task", "user", "answer"),
    [
        ("narrative", ASKED, GOOD),
        (
            "narrative",
            "Tell me, Mr. Wrexham, what you did.",
            "“It is cut,” said Mrs. Dunn to me. “Wrexham, look at it!” I put it into my bag.",
        ),
        ("qa", "How long was the rope?", "It was four fathoms long. 4, no more."),
        ("qa", ASKED, "I took the rope. Nothing was said but by Mrs. Dunn's own mouth. Perhaps she was right."),
        ("qa", "Did you walk there?", "I'll own that I did. I'm Tobias Wrexham, and my name is Wrexham on sea and land."),
        ("contrast", "What did Mrs. Dunn say?", "That lies outside my soundings."),
        ("contrast", "What did Mrs. Dunn say?", "I was not there, and I don't tell what I have not heard. Ask her."),
        ("hypothetical", "Will you take a cup, sir?", "I will take two, and ask for a third if the kettle holds out."),
        ("transformed", "And the rope?", "Cut, madam, as you see."),
    ],
)
def test_good_drafts_pass(request_for, task, user, answer):
    assert (
        reject(request_for(task, reply="It is cut, madam." if task in ("transformed", "hypothetical") else ""), Draft(user, answer)) is None
    )


@pytest.mark.parametrize(
    ("task", "user", "answer", "reason"),
    [
        ("qa", " ", GOOD, "empty question"),
        ("narrative", ASKED, "I knelt.", "too short"),
        ("narrative", ASKED, GOOD * 9, "too long"),
        ("narrative", "What? " * 400, GOOD, "too long"),
        ("qa", ASKED, "x" * 9000, "too long"),
        ("narrative", ASKED, "Wrexham knelt by the ferry steps and measured the rope.", "not first person"),
        ("narrative", ASKED, "I knelt by the steps, and then Mr. Wrexham measured the rope.", "not first person"),
        ("narrative", ASKED, "The rope was measured by the ferry steps that day, and put into a bag.", "not first person"),
        ("narrative", ASKED, '"I cut it," said Mrs. Dunn by the steps, and then she left.', "not first person"),
        ("qa", ASKED, "Wrexham's bag held it.", "not first person"),
        ("qa", "What did Wrexham do at the steps?", "I measured the rope.", "question not put to the persona"),
        ("qa", ASKED, "I went with Mr. Blackmore to the steps.", "new name"),
        ("qa", ASKED, "I went there. Blackmore was with me.", "new name"),
        ("qa", "Was it in Bristol?", "It was, and I saw it.", "new name"),
        ("qa", ASKED, "I counted five of them.", "new number"),
        ("qa", ASKED, "I counted 17 of them.", "new number"),
        ("qa", ASKED, "I saw it at twenty-four fathoms.", "new number"),
        ("qa", "Was it the fifth rope?", "It was, I think.", "new number"),
        ("qa", ASKED, "As an AI language model, I have no steps.", "refusal"),
        ("qa", ASKED, "I'm sorry, but I can't help with that.", "refusal"),
        ("qa", ASKED, "I’m sorry, but I cannot assist with this.", "refusal"),
        ("qa", ASKED, "I measured it, according to the passage.", "prompt leak"),
        ("qa", "What does the text say you did?", "I measured the rope, as the text says.", "prompt leak"),
        ("qa", ASKED, "I answer as JSON.", "prompt leak"),
        ("qa", ASKED, "I walked down the passage.", "prompt leak"),
        ("qa", ASKED, "I sat beneath it with the oil-can between my knees and counted the ships.", "prompt leak"),
        ("qa", ASKED, "Tobias Wrexham, a retired surveyor of ships, brief and exact. Answer in character, I do.", "prompt leak"),
        ("qa", ASKED, "**I** measured it.", "not in the asked format"),
        ("qa", ASKED, "I measured it.<|im_end|>", "not in the asked format"),
        ("qa", ASKED, "Assistant: I measured it.", "not in the asked format"),
        ("transformed", "And the rope?", "It IS cut, madam!", "unchanged"),
        ("contrast", "What did Mrs. Dunn say?", "I think it was a plain remark about rope.", "claims to know"),
        ("contrast", "What did she say?", "I know not, but somebody has cut this with a blunt knife.", "tells what it cannot know"),
        ("contrast", "How long was it?", "I cannot say; four fathoms, I suppose.", "tells what it cannot know"),
    ],
)
def test_bad_drafts_do_not(request_for, task, user, answer, reason):
    assert reason in REASONS
    assert (
        reject(request_for(task, reply="It is cut, madam." if task in ("transformed", "hypothetical") else ""), Draft(user, answer))
        == reason
    )


def test_a_corridor_is_a_passage_too(request_for):
    request = request_for("qa", passage="Wrexham went down the passage to the yard.")
    assert reject(request, Draft("Where did you go?", "I went down the passage to the yard.")) is None
    assert reject(request, Draft("Where did you go?", "I went down it, as the passage says.")) == "prompt leak"


def test_inventions_may_be_named_in_the_question(request_for):
    request = request_for("contrast", passage="", about="the Marconi wireless")
    assert reject(request, Draft("Do you own a Marconi wireless?", "I never heard of such a contrivance.")) is None


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("twenty-one", {"21"}),
        ("the twenty-first and the third", {"21", "3"}),
        ("1,000 or 7", {"1000", "7"}),
        ("a dozen, hundreds, and one", {"12", "100"}),
        ("both of them twice", set()),
        ("sixtieth, ninety", {"60", "90"}),
        ("a second of the first", set()),
    ],
)
def test_numbers(text, values):
    assert numbers(text, claims=True) == values


def test_both_is_evidence_of_two():
    assert numbers("both of them") == {"2"}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("I met Blackmore and Miss Lotte Grey.", ["Blackmore", "Lotte", "Grey"]),
        ("Nobody came. Curiosity had brought me. The rope was Dunn's.", []),
        ("It was late. Blackmore's hat lay there.", ["Blackmore"]),
        ("He came with Mr. Blackmore.", ["Blackmore"]),
        ("Ropes are ropes. He looked at the Rope.", []),
        ("I'll go, and I've been. God knows, Sir.", []),
        ("He said that it was NOT so.", []),
        ("We went to-day to Ferry-Steps.", ["Ferry-Steps"]),
    ],
)
def test_new_names(text, names):
    assert new_names(text, vocabulary("Mrs. Dunn had the rope.")) == names


@pytest.mark.parametrize(
    ("text", "does"),
    [
        ("Then Holmes rose.", True),
        ("Suddenly Mr. Holmes rose.", True),
        ("I am Sherlock Holmes, and my name is Holmes.", False),
        ("Mycroft Holmes rose. I wrote to Mycroft Holmes.", False),
        ("Come, Holmes, tell us.", False),
        ("Holmes, who was there, rose.", True),
        ("It was Holmes's pipe.", True),
    ],
)
def test_speaks_of(text, does):
    assert speaks_of(text, ("Sherlock Holmes", "Holmes", "Mr. Holmes", "the detective")) is does


voices = st.builds(Voice, st.text(), st.tuples(st.text()), st.just("he"), st.booleans(), st.text(), st.text(), st.tuples(st.text()))
requests = st.builds(
    Request,
    st.sampled_from(sorted(prompts.FILES)),
    voices,
    st.text(),
    st.none() | st.text(),
    st.tuples(st.text()),
    st.text(),
    st.text(),
    st.text(),
)


@given(requests, st.text(), st.text())
def test_anything_gets_a_known_answer(request, user, answer):
    assert reject(request, Draft(user, answer)) in (None, *REASONS)


@given(
    st.lists(
        st.sampled_from(SCRAPS),
        min_size=3,
        max_size=40,
    )
)
def test_what_passes_holds_no_name_or_number_that_the_source_lacks(chosen):
    voice = Voice("Tobias Wrexham", ("Wrexham",), "he", False, "the 1880s", "You are Wrexham.")
    request = Request("qa", voice, "Wrexham went to the ferry. Mrs. Dunn said that there were four boats.", None, ())
    text = " ".join(chosen)
    if reject(request, Draft("What then?", text)) is None:
        # At a sentence's start only what goes on like a name is taken for one.
        inside = " ".join(word for before, word in pairwise(chosen) if not before.endswith("."))
        assert not {"Bristol,", "Blackmore"} & set(inside.split())
        assert "five." not in chosen


@pytest.mark.parametrize(
    "text",
    ['"' * 100_000, "A" * 200_000, "Mr. " * 50_000, "Wrexham " * 50_000, "- ' " * 50_000, "twenty-" * 50_000, "I'm sorry but i " * 20_000],
)
def test_malice_takes_no_time(request_for, text):
    request = request_for("hypothetical", reply=text, passage=text)
    started = time.process_time()
    reject(request, Draft(text[:3000], text))
    reject(request, Draft("Well?", text))
    assert time.process_time() - started < 30
