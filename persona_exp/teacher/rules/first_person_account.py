"""A passage as the persona tells it: the sentences that are certain, with the gaps between them marked."""

from dataclasses import dataclass

from persona_exp.teacher.rules import word_classes as words
from persona_exp.teacher.rules.grammar_tokens import Names, Token, find_names, tokenize
from persona_exp.teacher.rules.pronoun_resolution import Scene
from persona_exp.teacher.rules.sentence_splitting import Sentence, split_passage
from persona_exp.teacher.rules.third_to_first_person import Rewritten, rewrite
from persona_exp.teacher.teacher_interface import Request


@dataclass(frozen=True)
class AccountSentence:
    """One sentence of the persona's account. `spoken`: it holds the persona's own direct speech; `mentions`: "I" is in its narration;
    `speech` is the speech itself."""

    text: str
    paragraph: int
    mentions: bool
    spoken: bool
    speech: str = ""


def first_person_account(request: Request) -> tuple[list[AccountSentence | None], Names]:
    """Return the passage's sentences in the persona's words, None for each that is left out, and how the passage calls people."""
    voice = request.voice
    sentences = split_passage(request.passage)
    aliases = (voice.name, *voice.aliases)
    names = find_names(aliases, request.others, None if voice.narrator else request.narrator, sentences)
    account = _as_narrator(sentences) if voice.narrator else _as_other(sentences, names, voice.pronoun)
    return account, names


def _as_narrator(sentences: list[Sentence]) -> list[AccountSentence | None]:
    """Return the narration, without anybody's speech."""
    found: list[AccountSentence | None] = []
    for sentence in sentences:
        if not sentence.whole or sentence.quoted or sentence.text[-1] not in ".!?":
            found.append(None)
            continue
        low = {word.strip(".,;:!?—").lower() for word in sentence.text.replace("—", " ").split()}
        found.append(AccountSentence(sentence.text, sentence.paragraph, bool(low & words.FIRST), spoken=False))
    return found


def _as_other(sentences: list[Sentence], names: Names, pronoun: str) -> list[AccountSentence | None]:
    scene = Scene()
    found: list[AccountSentence | None] = []
    paragraph = -1
    speaking = False
    for sentence in sentences:
        if sentence.paragraph != paragraph:
            scene.paragraph()
            paragraph, speaking = sentence.paragraph, False
        if not sentence.whole:
            scene.lost()
            found.append(None)
            continue
        if not sentence.quoted:
            made = rewrite(sentence, scene, names, pronoun)
            found.append(_kept(made, sentence, spoken=False))
            speaking = False if made is None else speaking
            continue
        if speaking and not _narration(sentence) and sentence.text.rstrip("\"'")[-1:] in (".", "!", "?"):
            found.append(AccountSentence(sentence.text, paragraph, mentions=False, spoken=True, speech=" ".join(sentence.quotes)))
            continue
        made = rewrite(sentence, scene, names, pronoun)
        speaking = made is not None and _speaks(made)
        if not speaking:
            if not _narrator_speaks(tokenize(sentence.masked, names)):
                scene.lost()
            made = None
        found.append(_kept(made, sentence, spoken=True))
    return found


def _kept(made: Rewritten | None, sentence: Sentence, spoken: bool) -> AccountSentence | None:
    ends = sentence.text.rstrip("\"')")[-1:]
    if made is None or ends not in (".", "!", "?"):
        return None
    return AccountSentence(made.text, sentence.paragraph, made.mentions or _we(made), spoken, " ".join(sentence.quotes) if spoken else "")


def _we(made: Rewritten) -> bool:
    return any(token.low in ("we", "us", "our") for token in made.tokens)


def _narration(sentence: Sentence) -> bool:
    return any(character.isalpha() for character in sentence.masked)


def _speaks(made: Rewritten) -> bool:
    """Return whether the sentence's quotation is the persona's: "said I" beside it, or "I turned and said" before it."""
    tokens, roles = made.tokens, made.roles
    quotes = [index for index, token in enumerate(tokens) if token.kind == "quote"]
    says = [index for index, token in enumerate(tokens) if token.low in words.SAYS]
    if not quotes or not says:
        return False
    subjects = [index for index, role in roles.items() if role == "subject" and tokens[index].kind != "pair"]
    if not subjects:
        return False
    first = quotes[0]
    if first == 0:
        return any(1 <= subject <= 4 and says[0] <= 4 and abs(says[0] - subject) <= 2 for subject in subjects)
    led = tokens[first - 1].text in (",", ":") and first - 4 <= says[-1] < first if says[-1] < first else False
    return (
        led
        and len(subjects) == 1
        and subjects[0] < says[-1]
        and not any(token.low in words.SUBORDINATORS for token in tokens[subjects[0] : first])
    )


def _narrator_speaks(tokens: list[Token]) -> bool:
    for index, token in enumerate(tokens[:-1]):
        if token.low in words.SAYS and "I" in (tokens[index + 1].text, tokens[index - 1].text if index else ""):
            return True
    return False
