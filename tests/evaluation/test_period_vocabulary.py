from hypothesis import given
from hypothesis import strategies as st

from persona_exp.evaluation.period_vocabulary import lexicon, period_terms


def test_single_and_many_word_entries() -> None:
    assert period_terms(["Upon my word, a hansom!"]) == (2, 5)  # "upon my word" once, not "upon" as well
    assert period_terms(["My dear fellow, to-morrow it is"]) == (2, 6)
    assert period_terms(["The computer was rebooted yesterday."]) == (0, 5)


def test_texts_are_counted_apart() -> None:
    assert period_terms(["upon my", "word"]) == (1, 3)
    assert period_terms([]) == (0, 0)
    assert period_terms(["", "1895!"]) == (0, 0)


def test_curly_apostrophes_and_case() -> None:
    assert period_terms(["’TWAS", "'twas", "’Twas"]) == (3, 3)


def test_lexicon_is_sizeable_and_has_phrases() -> None:
    assert len(lexicon()) >= 120
    assert sum(len(form) > 1 for form in lexicon()) >= 40
    assert () not in lexicon()


@given(st.lists(st.sampled_from(sorted(lexicon())), max_size=20))
def test_every_entry_separated_by_a_modern_word_is_found_once(forms: list[tuple[str, ...]]) -> None:
    found, total = period_terms([" computer ".join(" ".join(form) for form in forms)])
    assert found == len(forms)
    assert total == sum(map(len, forms)) + max(0, len(forms) - 1)
