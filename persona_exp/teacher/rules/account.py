"""A passage as the persona tells it: the sentences that are certain, with the gaps between them marked."""

from dataclasses import dataclass

from persona_exp.teacher.request import Request
from persona_exp.teacher.rules import words
from persona_exp.teacher.rules.person import Rewritten, rewrite
from persona_exp.teacher.rules.reference import Scene
from persona_exp.teacher.rules.sentences import Sentence, read
from persona_exp.teacher.rules.tokens import Names, Token, find_names, tokenize


@dataclass(frozen=True)
class Told:
    """One sentence of the persona's account. `spoken`: it holds the persona's own direct speech; `mentions`: "I" is in its narration;
    `speech` is the speech itself."""

    text: str
    paragraph: int
    mentions: bool
    spoken: bool
    speech: str = ""


def tell(request: Request) -> tuple[list[Told | None], Names]:
    """The passage's sentences in the persona's words, None for each that is left out."""
    voice = request.voice
    sentences = read(request.passage)
    aliases = (voice.name, *voice.aliases)
    names = find_names(aliases, request.others, None if voice.narrator else request.narrator, sentences)
    told = _as_narrator(sentences) if voice.narrator else _as_other(sentences, names, voice.pronoun)
    return told, names


def _as_narrator(sentences: list[Sentence]) -> list[Told | None]:
    """The narration as it stands, without anybody's speech."""
    found: list[Told | None] = []
    for sentence in sentences:
        if not sentence.whole or sentence.quoted or sentence.text[-1] not in ".!?":
            found.append(None)
            continue
        low = {word.strip(".,;:!?—").lower() for word in sentence.text.replace("—", " ").split()}
        found.append(Told(sentence.text, sentence.paragraph, bool(low & words.FIRST), spoken=False))
    return found


def _as_other(sentences: list[Sentence], names: Names, pronoun: str) -> list[Told | None]:
    scene = Scene()
    found: list[Told | None] = []
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
            found.append(Told(sentence.text, paragraph, mentions=False, spoken=True, speech=" ".join(sentence.quotes)))
            continue
        made = rewrite(sentence, scene, names, pronoun)
        speaking = made is not None and _speaks(made)
        if not speaking:
            if not _narrator_speaks(tokenize(sentence.masked, names)):
                scene.lost()
            made = None
        found.append(_kept(made, sentence, spoken=True))
    return found


def _kept(made: Rewritten | None, sentence: Sentence, spoken: bool) -> Told | None:
    ends = sentence.text.rstrip("\"')")[-1:]
    if made is None or ends not in (".", "!", "?"):
        return None
    return Told(made.text, sentence.paragraph, made.mentions or _we(made), spoken, " ".join(sentence.quotes) if spoken else "")


def _we(made: Rewritten) -> bool:
    return any(token.low in ("we", "us", "our") for token in made.tokens)


def _narration(sentence: Sentence) -> bool:
    return any(character.isalpha() for character in sentence.masked)


def _speaks(made: Rewritten) -> bool:
    """Whether the sentence's quotation is the persona's: "said I" beside it, or "I turned and said" before it."""
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
