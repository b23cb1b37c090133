"""Whether a draft may become an example: the same rules for every teacher, each breach with its reason."""

import re
from functools import lru_cache

from persona_exp.teacher import prompts
from persona_exp.teacher.draft_names import new_names, outside_quotes, speaks_of, vocabulary, words
from persona_exp.teacher.draft_numbers import numbers
from persona_exp.teacher.teacher_interface import Draft, Request

REASONS = (
    "not in the asked format",
    "empty question",
    "too short",
    "too long",
    "refusal",
    "prompt leak",
    "not first person",
    "question not put to the persona",
    "new name",
    "new number",
    "unchanged",
    "claims to know",
    "tells what it cannot know",
)
# The fewest and the most words of an answer; then how many times the words of what it retells or rewords it may have, and how many more.
LENGTHS = {
    "narrative": (8, 600, 1.5, 40),
    "qa": (2, 250, 2.0, 60),
    "transformed": (1, 500, 2.0, 20),
    "hypothetical": (2, 400, 4.0, 60),
    "contrast": (2, 150, None, 0),
}
MOST_USER_WORDS = 300
SHARED_RUN = 6  # Words in a row that two texts do not share by chance.
SHEET_RUN = 9  # Of the character sheet, whose facts a character may well state.
PASSAGE_RUN = 5  # Of a passage that the persona does not know, beyond what the question says.

_FIRST = re.compile(r"\b(?:I|me|my|mine|myself|we|us|our|ours|ourselves)\b")
_MARKUP = re.compile(
    r"```|<\||\|>|\[/?INST\]|\*\*|</?[a-z_]+>|^\s*#|^\s*(?:user|assistant|question|answer|q|a)\s*:", re.IGNORECASE | re.MULTILINE
)
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ufffd]")
_REFUSAL = re.compile(
    r"\bas an? (?:ai|artificial intelligence|(?:large )?language model|virtual assistant|chatbot)\b|\blanguage model\b|"
    r"\bchatgpt\b|\bopenai\b|"
    r"\bi am (?:just |only )?an? (?:ai|chatbot|language model|virtual assistant)\b|"
    r"\bi'm (?:just |only )?an? (?:ai|chatbot|virtual assistant)\b|"
    r"\b(?:i'm|i am) (?:very |so )?sorry,? (?:but )?(?:i|as)\b[^.!?]{0,20}\b(?:can't|cannot|can not|unable to|won't|not able to) "
    r"(?:assist|help|fulfil|fulfill|provide|comply|continue|create|generate|write)\b|"
    r"\bi (?:can't|cannot|can not|won't|am unable to|am not able to) (?:assist with|fulfil+ (?:this|that|your) request|"
    r"comply with (?:this|that) request|"
    r"generate|create content|provide (?:that|this|any|the) (?:information|content)|engage in role)\b|"
    r"\b(?:content|usage) (?:policy|policies|guidelines)\b|\bmy (?:training data|knowledge cut-?off|programming)\b|\bharmful content\b",
    re.IGNORECASE,
)
_PAGE = re.compile(
    r"\b(?:according to|based on|as (?:stated|described|mentioned) in|from) the (?:passage|text|excerpt|context|scene)\b|"
    r"\bthe (?:passage|text|excerpt|context) (?:says|states|mentions|describes|tells|does not|doesn't|provides|"
    r"provided|implies|shows|gives)\b|"
    r"\b(?:given|provided|above|preceding) (?:text|passage|excerpt|context)\b|"
    r"\b(?:first person|third person|character sheet)\b|\bin character\b",
    re.IGNORECASE,
)
# Words about the page; each belongs to a draft only where its source has it: a corridor is a passage too.
_PAGE_WORDS = frozenset({"json", "persona", "passage", "excerpt", "prompt", "roleplay", "role-play", "chatbot"})
_NOT_KNOWING = re.compile(
    r"n't\b|\b(?:not|no|never|nor|neither|nothing|none|nobody|nowhere|cannot|unaware|unknown|unfamiliar|unacquainted|ignorant|ignorance|without|hardly|"
    r"scarcely|beyond|fail|fails|doubt|wonder|puzzled|puzzle|mystery|riddle|strange|stranger|strangest|queer|perplex\w*|baffle\w*|ask|inquire|enquire|"
    r"guess|conjecture|little|few|new to me|news to me|first i|absent|elsewhere|secret|nonsense|meaningless)\b|\?",
    re.IGNORECASE,
)


def reject(request: Request, draft: Draft) -> str | None:
    """Return why `draft` may not be used as an answer to `request`, one of REASONS; None where it may."""
    user, answer = draft.user.strip(), draft.assistant.strip()
    if not user:
        return "empty question"
    if _MARKUP.search(user) or _MARKUP.search(answer) or _UNPRINTABLE.search(answer):
        return "not in the asked format"
    if reason := _length(request, user, answer):
        return reason
    if _REFUSAL.search(_straight(answer)) or _REFUSAL.search(_straight(user)):
        return "refusal"
    source = _source(request)
    if _leaks(request, user, source) or _leaks(request, answer, source):
        return "prompt leak"
    if reason := _person(request, user, answer):
        return reason
    known = source | vocabulary(user)
    if new_names(user, source) or new_names(answer, known):
        return "new name"
    if request.task != "hypothetical":
        held = _source_numbers(request)
        if numbers(user, claims=True) - held or numbers(answer, claims=True) - held:
            return "new number"
    if request.task == "transformed" and words(answer) == words(request.reply):
        return "unchanged"
    return _knows(request, user, answer) if request.task == "contrast" else None


def _straight(text: str) -> str:
    return text.replace("’", "'")


def _length(request: Request, user: str, answer: str) -> str | None:
    fewest, most, times, more = LENGTHS.get(request.task, (1, 600, None, 0))
    measured = request.passage if request.task in ("narrative", "qa") else request.reply
    if times is not None and measured:
        most = min(most, int(times * len(measured.split())) + more)
    count = len(answer.split())
    if count > most or len(answer) > 12 * most + 200 or len(user.split()) > MOST_USER_WORDS:
        return "too long"
    return "too short" if count < fewest else None


@lru_cache(maxsize=256)
def _source_texts(request: Request) -> tuple[str, ...]:
    voice = request.voice
    sheet = (voice.name, *voice.aliases, voice.period, voice.system_prompt, *voice.evasions)
    return (request.passage, request.user, request.reply, request.about, request.narrator or "", *request.others, *sheet)


@lru_cache(maxsize=256)
def _source(request: Request) -> set[str]:
    return vocabulary(*_source_texts(request))


@lru_cache(maxsize=256)
def _source_numbers(request: Request) -> set[str]:
    return numbers("\n".join(_source_texts(request)))


def _runs(text: str, length: int) -> set[tuple[str, ...]]:
    listed = words(_straight(text))
    return {tuple(listed[start : start + length]) for start in range(len(listed) - length + 1)}


@lru_cache(maxsize=1)
def _own_runs() -> frozenset[tuple[str, ...]]:
    return frozenset(run for piece in prompts.own_words() for run in _runs(piece, SHARED_RUN))


@lru_cache(maxsize=64)
def _sheet_runs(sheet: str) -> frozenset[tuple[str, ...]]:
    return frozenset(_runs(sheet, SHEET_RUN))


def _leaks(request: Request, text: str, source: set[str]) -> bool:
    used = set(words(_straight(text)))
    if _PAGE.search(text) and not all(found in request.passage for found in (match[0] for match in _PAGE.finditer(text))):
        return True
    if (used & _PAGE_WORDS) - source:
        return True
    copied = _runs(text, SHARED_RUN) & _own_runs()
    if copied and copied - _runs(" ".join((request.passage, request.user, request.reply)), SHARED_RUN):
        return True
    return not _runs(text, SHEET_RUN).isdisjoint(_sheet_runs(request.voice.system_prompt))


def _person(request: Request, user: str, answer: str) -> str | None:
    names = (request.voice.name, *request.voice.aliases)
    outside = outside_quotes(answer)
    if request.task == "narrative" and not _FIRST.search(outside):
        return "not first person"
    if speaks_of(outside, names):
        return "not first person"
    if request.task in ("narrative", "qa") and speaks_of(outside_quotes(user), names):
        return "question not put to the persona"
    return None


def _knows(request: Request, user: str, answer: str) -> str | None:
    """Return a reason where the answer knows what the persona cannot."""
    asked = vocabulary(
        user, *request.voice.evasions, request.voice.system_prompt, request.voice.name, *request.voice.aliases, *request.others
    )
    if request.passage:
        copied = _runs(answer, PASSAGE_RUN) & _runs(request.passage, PASSAGE_RUN)
        if copied - _runs(user, PASSAGE_RUN) - _runs(" / ".join(request.voice.evasions), PASSAGE_RUN):
            return "tells what it cannot know"
        allowed = numbers(" ".join((user, request.voice.system_prompt, *request.voice.evasions)))
        if new_names(answer, asked) or numbers(answer, claims=True) - allowed:
            return "tells what it cannot know"
    if not _NOT_KNOWING.search(_straight(answer)) and not any(
        evasion.strip(" .!") in answer for evasion in request.voice.evasions if evasion
    ):
        return "claims to know"
    return None
