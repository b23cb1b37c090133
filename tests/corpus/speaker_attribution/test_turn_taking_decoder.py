import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_exp.corpus.speaker_attribution import turn_taking_decoder
from persona_exp.corpus.speaker_attribution.turn_taking_decoder import Turn, decode_turns

TALK = {"same": 0.05, "answer": 2.0, "new": 0.5}


def likeliest(turns: list[Turn]) -> list[int]:
    return [max(share, key=lambda person: share[person]) for share in decode_turns(turns)]


def test_turns_alternate_from_an_anchor_in_both_directions() -> None:
    open_, sure = {1: 1.0, 2: 1.0}, {1: 100.0, 2: 1.0}
    turns = [Turn(dict(open_), fresh=True, **TALK), Turn(dict(open_), **TALK), Turn(dict(sure), **TALK), Turn(dict(open_), **TALK)]
    assert likeliest(turns) == [1, 2, 1, 2]


def test_a_fresh_turn_knows_nothing_of_the_one_before() -> None:
    before, after = decode_turns([Turn({1: 9.0, 2: 1.0}, fresh=True), Turn({1: 1.0, 2: 1.0}, fresh=True, **TALK)])
    assert before[1] == pytest.approx(0.9)
    assert after[1] == pytest.approx(0.5)


def test_who_is_spoken_to_answers() -> None:
    everybody = {1: 1.0, 2: 1.0, 3: 1.0}
    turns = [Turn({1: 1.0}, fresh=True), Turn({2: 1.0}, listener=3, **TALK), Turn(dict(everybody), **TALK)]
    assert likeliest(turns)[-1] == 3


EVIDENCE = st.dictionaries(st.integers(0, 5), st.floats(0.001, 1000), min_size=1, max_size=5)
TURN = st.builds(
    lambda evidence, fresh, listener: Turn(evidence, fresh=fresh, listener=listener, **TALK), EVIDENCE, st.booleans(), st.integers(-1, 5)
)


@given(st.lists(TURN, max_size=12))
def test_shares_are_shares_of_the_candidates(turns: list[Turn]) -> None:
    for turn, share in zip(turns, decode_turns(turns), strict=True):
        assert set(share) <= set(turn.evidence)
        assert sum(share.values()) == pytest.approx(1.0)


def test_the_work_grows_with_the_number_of_lines_only(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = 0
    moves = turn_taking_decoder._moves

    def counted(*arguments):
        nonlocal steps
        steps += 1
        return moves(*arguments)

    monkeypatch.setattr(turn_taking_decoder, "_moves", counted)
    work = []
    for lines in (100, 200, 400):
        steps = 0
        decode_turns([Turn(dict.fromkeys(range(number % 3, number % 3 + 4), 1.0), **TALK) for number in range(lines)])
        work.append(steps)
    assert work[1] < 2.2 * work[0]
    assert work[2] < 2.2 * work[1]
