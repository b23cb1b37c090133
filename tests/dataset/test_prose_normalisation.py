from hypothesis import given
from hypothesis import strategies as st

from persona_exp.dataset.prose_normalisation import last_sentences, normalise_prose, sentences

WORDS = st.lists(st.sampled_from(["Mr.", "Pell", "went.", "out", "and", "why?", "Stop!", "No"]), max_size=40).map(" ".join)


def test_one_typography_for_all_editions() -> None:
    assert normalise_prose("‘It’s\n  late,’ said he--“very…”") == "'It's late,' said he—\"very...\""
    assert normalise_prose("One.\n\nTwo.") == "One.\n\nTwo."


def test_a_title_does_not_end_a_sentence() -> None:
    assert sentences("Mr. Pell rose. Dr. Noon sat! “Why?” he asked.") == ["Mr. Pell rose.", "Dr. Noon sat!", "“Why?” he asked."]


def test_the_end_is_kept_in_whole_sentences() -> None:
    assert last_sentences("One two three. Four five. Six.", 3) == ("Four five. Six.", True)
    assert last_sentences("One two three four.", 2) == ("three four.", True)
    assert last_sentences("One two.", 2) == ("One two.", False)
    assert last_sentences("One two.", 0) == ("", True)


@given(WORDS, st.integers(0, 50))
def test_never_more_words_than_allowed_and_always_the_end(text: str, limit: int) -> None:
    kept, cut = last_sentences(text, limit)
    assert len(kept.split()) <= limit
    assert text.endswith(kept)
    assert cut == (kept != text)
