"""Where a text may be shortened."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from persona_exp.modeling.prompt_shortening import LONGEST_WORD, shorten

FAMILY = "👩\N{ZERO WIDTH JOINER}👩\N{ZERO WIDTH JOINER}👧"
ACCENT = "e\N{COMBINING ACUTE ACCENT}"


def shortened(text: str, room: int) -> str:
    """`text` shortened to `room` characters."""
    turns = [{"role": "user", "content": text}, {"role": "assistant", "content": "x" * 99}]
    kept = shorten(turns, lambda given: len(given[0]["content"]), room)
    assert kept[1] is turns[1]
    return kept[0]["content"]


def test_words_stay_whole_where_they_are_words() -> None:
    assert shortened("How extraordinarily simple", 21) == "simple"
    assert shortened("extraordinarily", 3) == "extraordinarily"
    assert shortened("How simple", 10) == "How simple"


def test_what_is_too_long_for_a_word_is_cut_anywhere_but_in_a_character() -> None:
    assert shortened(f"Look: {'a' * 60}", 20) == "a" * 20
    assert shortened("真" * 30, 7) == "真" * 7
    for character in (ACCENT, FAMILY, "🇫🇷", "ที่", "한"):
        text = character * LONGEST_WORD
        for room in range(len(character), 4 * len(character)):
            assert shortened(text, room) == character * (room // len(character))
        assert shortened(text, 0) == character


def test_the_rest_of_a_long_word_goes_before_the_words_behind_it() -> None:
    assert shortened(f"{'https://example.org/' * 5} is where it is", 16) == "/ is where it is"
    assert shortened(f"{'https://example.org/' * 5} is where it is", 14) == "is where it is"


@given(st.text(st.sampled_from("ab真 \n🇫👍🏽é") | st.sampled_from([ACCENT[1], "\u200d"]), max_size=150), st.integers(0, 150))
def test_what_is_kept_is_the_end_and_begins_with_a_character(text: str, room: int) -> None:
    kept = shortened(text, room)
    assert text.endswith(kept)
    if kept != text:
        assert not kept[0].isspace()
        before = text[: -len(kept)]
        # A mark goes with what it stands on; behind a blank it stands on nothing.
        assert before[-1].isspace() or not unicodedata.combining(kept[0])
    if len(text) <= room:
        assert kept == text
