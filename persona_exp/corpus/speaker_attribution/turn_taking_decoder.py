"""Turns of a conversation decoded: how likely each candidate is for each line, given its evidence and who spoke before and after.

A state is the pair (the other one, the one who speaks), so that "A B A B" is the other one answering again and again. Forward and backward
sums over states give each candidate's share; the cost is linear in lines, for candidate lists of bounded length.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from persona_exp.corpus.cast.character import NOBODY

State = tuple[int, int]
# How a line follows the one before it: weights that the same voice goes on, that the other one answers, that another person comes in.
TRANSITIONS = {
    "runs on": (300.0, 1.0, 1.0),
    "same paragraph": (8.0, 1.0, 0.5),
    "next": (0.03, 3.0, 0.5),
    "next, narrated": (0.3, 2.0, 0.6),
    "one between": (0.8, 1.2, 0.8),
    "more between": (0.8, 1.0, 0.8),
}
# Who is called by name in an answer has mostly just spoken; who is called "sir" is no lady.
CALLED = 1.2
POLITE = 0.3
# How surely a person called by name is the one spoken to.
HEARS = 0.75


@dataclass(slots=True)
class Turn:
    """How a line follows the one before: weights that the same voice goes on, that the other one answers, that another person comes in;
    `fresh` starts a new conversation. `evidence` weighs the candidates; `listener` is the one spoken to, where the line tells."""

    evidence: dict[int, float]
    same: float = 1.0
    answer: float = 1.0
    new: float = 1.0
    fresh: bool = False
    listener: int = NOBODY
    polite: frozenset[int] = frozenset()


def decode_turns(turns: Sequence[Turn]) -> list[dict[int, float]]:
    """Return for each turn the share of each candidate; they sum to 1 where there is any candidate."""
    forward = _forward(turns)
    found: list[dict[int, float]] = [{} for _ in turns]
    backward: dict[State, float] | None = None
    for index in range(len(turns) - 1, -1, -1):
        states = forward[index]
        total = dict.fromkeys(turns[index].evidence, 0.0)
        for state, weight in states.items():
            value = weight if backward is None else weight * backward.get(state, 0.0)
            total[state[1]] = total.get(state[1], 0.0) + value
        norm = sum(total.values())
        if norm <= 0:
            # The two directions have nothing in common: trust the evidence read so far.
            for state, weight in states.items():
                total[state[1]] = total.get(state[1], 0.0) + weight
            norm = sum(total.values()) or 1.0
            backward = None
        found[index] = {person: value / norm for person, value in total.items()}
        backward = _back(turns[index], states, forward[index - 1], backward) if index else None
    return found


def _forward(turns: Sequence[Turn]) -> list[dict[State, float]]:
    forward: list[dict[State, float]] = []
    previous: dict[State, float] = {}
    for turn in turns:
        states: dict[State, float] = {}
        evidence = turn.evidence
        if turn.fresh or not previous:
            for person, weight in evidence.items():
                states[turn.listener if turn.listener != person else NOBODY, person] = weight
        else:
            for (other, speaker), weight in previous.items():
                for person in evidence:
                    for state, factor in _moves(turn, other, speaker, person):
                        states[state] = states.get(state, 0.0) + weight * factor
            states = {state: weight * evidence[state[1]] for state, weight in states.items()}
        norm = max(states.values(), default=0.0)
        previous = {state: weight / norm for state, weight in states.items() if weight > norm * 1e-3} if norm else {}
        forward.append(previous)
    return forward


def _moves(turn: Turn, other: int, speaker: int, person: int) -> tuple[tuple[State, float], ...]:
    """Return the states after `person` speaks, with the weights of those steps."""
    if person == speaker:
        factor = turn.same
    else:
        factor = turn.answer if other in (person, NOBODY) else turn.new
        other = speaker
        if speaker == turn.listener:
            factor *= CALLED
        elif speaker in turn.polite:
            factor *= POLITE
    if turn.listener in (NOBODY, person, other):
        return (((other, person), factor),)
    return ((turn.listener, person), factor * HEARS), ((other, person), factor * (1 - HEARS))


def _back(
    turn: Turn, states: Mapping[State, float], before: Mapping[State, float], behind: Mapping[State, float] | None
) -> dict[State, float] | None:
    """Return the backward weights of the states before `turn`."""
    if turn.fresh:
        return None
    evidence = turn.evidence
    weights: dict[State, float] = {}
    for other, speaker in before:
        total = 0.0
        for person in evidence:
            for state, factor in _moves(turn, other, speaker, person):
                if state in states:
                    total += factor * evidence[person] * (1.0 if behind is None else behind.get(state, 0.0))
        weights[other, speaker] = total
    norm = max(weights.values(), default=0.0)
    return {state: weight / norm for state, weight in weights.items()} if norm > 0 else None
