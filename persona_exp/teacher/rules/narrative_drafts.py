"""The passage in the first person: its stretches of sentences that are certain."""

import re
from dataclasses import replace
from itertools import pairwise

from persona_exp.teacher.rules.clause_parser import you_clause
from persona_exp.teacher.rules.first_person_account import AccountSentence, first_person_account
from persona_exp.teacher.rules.grammar_tokens import FUNCTION, TITLES, Names
from persona_exp.teacher.rules.phrase_templates import number, phrases, pick
from persona_exp.teacher.rules.reported_statements import loose_it, statements
from persona_exp.teacher.rules.sentence_splitting import mask
from persona_exp.teacher.teacher_interface import Draft, Request

MIN_SENTENCES = 2
MIN_WORDS = 20
MIN_NARRATION = 9
# One sentence may do when it has so many words.
LONG_SENTENCE = 25
# Of so many sentences one at least must be about the persona.
SENTENCES_A_MENTION = 3
CONNECTIVE = re.compile(
    r"^(?:But|And|So|Yet|Then|However|For|Thus|Therefore|Nevertheless|Meanwhile|Still|Accordingly)\b(?:,\s+|\s+(?=(?:I|my|the|a|an|we|our|"
    r"when|while|as|at|in|on|with|before|after|if|he|she|it|they|his|her|this|that|there|these|those|their)\b))"
)
# A sentence that opens so tells nothing without the one before it.
LEANING = re.compile(
    r"^(?:They|Their|Them|These|Those|This|That|It|Its|He|She|His|Her|Such|Both|Neither|Either|Nor|Or|Which|Who|Here|Thereupon|"
    r"(?:At|In|On|With|After) (?:this|that|these)|As (?:it|they|he|she)|One of (?:them|these)|Even so|Otherwise|Instead)\b"
)
FIRST = re.compile(r"\b(?:I|me|my|mine|myself)\b")
OTHERS = {"they": "they|them|their|themselves", "he": "he|him|his|himself", "she": "she|her|hers|herself"}


def narrative_drafts(request: Request) -> tuple[Draft, ...]:
    """Return the account of the passage: all its stretches that are certain, one below the other. None where that is too little."""
    sentences, names = first_person_account(request)
    runs = [
        run
        for run in (_trim(run, request.voice.narrator) for run in _runs(sentences))
        if any(sentence.mentions and not sentence.spoken for sentence in run)
    ]
    account = [sentence for run in runs for sentence in run]
    text = "\n\n".join(map(_join, runs))
    if not _enough(account, text):
        account, text = _reported(sentences)
    return (Draft(_ask(text, account, names), text),) if _enough(account, text) else ()


def _reported(sentences: list[AccountSentence | None]) -> tuple[list[AccountSentence], str]:
    """Return an account where speech is most of it: each sentence that stands by itself, and the persona's own words in reported speech."""
    account: list[AccountSentence] = []
    for sentence in sentences:
        if sentence is None:
            continue
        if sentence.speech:
            statements_of_speech = [piece for piece in statements(sentence.speech) if not loose_it(piece.text)]
            pairs = [statements_of_speech[place : place + 2] for place in range(0, len(statements_of_speech), 2)]
            for nth, pair in enumerate(pairs):
                opening = "I said " if nth == 0 else "I added "
                account.append(
                    replace(sentence, text=opening + ", and ".join(piece.text for piece in pair) + ".", mentions=True, spoken=False)
                )
        elif sentence.mentions and not _leans(sentence) and not CONNECTIVE.match(sentence.text) and not loose_it(sentence.text):
            account.append(sentence)
    return account, _join(account)


def _runs(sentences: list[AccountSentence | None]) -> list[list[AccountSentence]]:
    runs: list[list[AccountSentence]] = [[]]
    for sentence in sentences:
        if sentence is None:
            runs.append([])
        else:
            runs[-1].append(sentence)
    return [run for run in runs if run]


def _trim(run: list[AccountSentence], narrator: bool) -> list[AccountSentence]:
    """Cut what leans on a sentence that is not there, and, but for a narrator, what is not about the persona at either end."""
    while run and (_leans(run[0]) or not (narrator or run[0].mentions or run[0].spoken)):
        run = run[1:]
    while run and not narrator and not (run[-1].mentions or run[-1].spoken):
        run = run[:-1]
    if run:
        bare = CONNECTIVE.sub("", run[0].text)
        run = [AccountSentence(bare[:1].upper() + bare[1:], run[0].paragraph, run[0].mentions, run[0].spoken), *run[1:]]
    return run


def _leans(sentence: AccountSentence) -> bool:
    bare = CONNECTIVE.sub("", sentence.text)
    return LEANING.match(bare[:1].upper() + bare[1:]) is not None or dangling(bare)


def dangling(text: str) -> bool:
    """Return whether a "he", "she" or "they" comes before anything that it could mean."""
    narration = mask(text)
    for kind, forms in OTHERS.items():
        match = re.search(rf"\b(?:{forms})\b", narration, re.IGNORECASE)
        if match is None:
            continue
        before = narration[: match.start()]
        if kind == "they":
            known = re.search(r"\b(?:[a-z]{2,}(?<!s)(?<!u)(?<!i)s|men|women|people|children|and)\b", before)
        else:
            known = re.search(r"(?<=\s)(?!I\b)[A-Z][a-z]+|^[A-Z][a-z]+(?=(?:'s)?\s[a-z]+ed)|\b(?:the|a|an)\s(?:[a-z-]+\s){1,3}", before)
        if known is None:
            return True
    return (
        re.search(r"^\W*(?:\w+\W+){0,3}it\b", narration, re.IGNORECASE) is not None
        and re.search(r"\b(?:the|a|an|my)\s[a-z]", narration[: narration.lower().find("it")]) is None
    )


def _enough(run: list[AccountSentence], text: str) -> bool:
    """Return whether it is an account: speech alone is none."""
    mentions = sum(sentence.mentions for sentence in run)
    narration = len(re.sub(r"[\ue000\ue001]+", "", mask(text)).split())
    return (
        (len(run) >= MIN_SENTENCES or narration >= LONG_SENTENCE)
        and len(text.split()) >= MIN_WORDS
        and narration >= MIN_NARRATION
        and mentions * SENTENCES_A_MENTION >= len(run)
        and FIRST.search(mask(text)) is not None
    )


def _join(run: list[AccountSentence]) -> str:
    pieces = [run[0].text] if run else []
    for before, sentence in pairwise(run):
        pieces += [" " if sentence.paragraph == before.paragraph else "\n\n", sentence.text]
    return "".join(pieces)


def _ask(text: str, run: list[AccountSentence], names: Names) -> str:
    """Return a question about the account; every other time with something of the account in it."""
    clause = next((found for sentence in run[:2] if not sentence.spoken and (found := you_clause(sentence.text))), None)
    if clause is not None and number(text, "ask") % 3:
        return pick(phrases("account_clause"), text).format(clause=clause)
    for named in re.finditer(r"(?:\b[A-Z][a-z]+\.?\s)*\b[A-Z][a-z]+", mask(text)):
        parts = named[0].split()
        if (
            set(parts) & names.others
            and parts[-1].strip(".").lower() not in TITLES
            and parts[0].lower() not in FUNCTION
            and number(text, "name") % 2
        ):
            return pick(phrases("account_name"), text).format(name=named[0])
    return pick(phrases("account"), text)
