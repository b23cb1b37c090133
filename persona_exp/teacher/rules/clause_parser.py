"""One simple clause of an account: subject, verb, and what follows, cut where another clause may begin."""

import re
from dataclasses import dataclass

from persona_exp.teacher.rules import verb_forms as verbs
from persona_exp.teacher.rules import word_classes as words

YOU = {
    "i": "you", "me": "you", "my": "your", "mine": "yours", "myself": "yourself", "am": "are", "we": "you", "us": "you", "our": "your",
    "ours": "yours", "ourselves": "yourselves"}  # fmt: skip
STOPS = words.SUBORDINATORS | words.listed("and or but nor so")
STOP_MARK = re.compile(r"[,;:—()]")
# What a question may not hold, since nobody knows what it means.
VAGUE = words.listed(
    """it its he him his himself she her hers herself they them their themselves this that these those there here other others another
    such same former latter one ones so which whom whose who what both thus own"""
)
NEGATIVE = re.compile(r"\b(?:never|not|no|nothing|nobody|neither|nor|hardly|scarcely|little|few)\b")
ORDINALS = words.listed("first second third fourth last next rest more most")
ADVERB = r"(?:(?:[a-z]+ly|never|always|still|also|then|now|just|once|again|soon|already|at once|at last|only|first|even)\s+)?"
TAIL_ADVERB = re.compile(r"\s+(?:again|then|now|too|also|once more|indeed|however|instead|afterwards|presently|at once|at last|[a-z]+ly)$")
PARTICLES = words.listed("up down out off away back over on in")


@dataclass(frozen=True)
class Clause:
    """`lead` is what stands before the subject, without its comma; `helper` is "had" or "" before a `verb` in the past (or a participle);
    `tail` is the rest of the clause, `rest` what follows it in the sentence."""

    lead: str
    subject: str
    adverb: str
    helper: str
    verb: str
    base: str
    tail: str
    rest: str

    @property
    def asked(self) -> str:
        """The tail without a last adverb: what a question repeats."""
        return TAIL_ADVERB.sub("", self.tail)


def to_you(text: str) -> str:
    """Turn what "I" says into what is said to him: "I put my hat on" → "you put your hat on"."""

    def swap(match: re.Match[str]) -> str:
        return YOU.get(match[0].lower(), match[0])

    swapped = re.sub(r"\b(?:I|[Mm]e|[Mm]y|[Mm]ine|[Mm]yself|[Ww]e|[Uu]s|[Oo]urs?|[Oo]urselves)\b", swap, text)
    swapped = re.sub(
        r"\b([Yy]ou)((?:\s[a-z]+ly|\snever|\salways|\sstill)?)\s(was|am)\b",
        lambda m: m[1] + m[2] + (" were" if m[3] == "was" else " are"),
        swapped,
    )
    return re.sub(r"\b(was|am)\s(you)\b", lambda m: ("were " if m[1] == "was" else "are ") + m[2], swapped)


def parse(text: str, subject: str = "I") -> Clause | None:
    """Return the first clause of `text` whose subject is `subject`, when it opens the sentence or follows an opening phrase; else None."""
    if '"' in text:
        return None
    body = text.strip().rstrip(".!?")
    # Behind "When …" only a comma tells where the main clause begins.
    between = (
        r",\s"
        if re.match(r"(?:when|while|whilst|as|after|before|if|since|because|although|though|where|until|the)\b", body, re.I)
        else r",?\s"
    )
    core = rf"(?P<subject>{re.escape(subject)})\s(?P<adverb>{ADVERB})(?P<verb>[a-z]+)\b(?P<more>.*)$"
    match = re.match(core, body) or re.match(rf"(?P<lead>[^,;:—()?!]{{1,90}}?){between}{core}", body)
    if match is None:
        return None
    lead, verb, more, helper = match.groupdict().get("lead") or "", match["verb"], match["more"], ""
    adverb = match["adverb"].strip()
    if (
        re.search(r"\b(?:who|which|that|whom|and|but)\b|\b(?:as|when|while|until|where|before|after|because|if)$", lead)
        or text.endswith("?")
        or (between == r",?\s" and subject in lead.split())
    ):
        return None
    if lead.lower() in ("but", "and", "so", "then", "yet", "now"):
        lead = ""
    base = verbs.base_of_past(verb)
    if verb == "had":
        follows = re.match(rf"\s(?P<adverb>{ADVERB})(?P<verb>[a-z]+)\b", more)
        participle = verbs.base_of_participle(follows["verb"]) if follows else None
        if follows is not None and participle is not None:
            helper, verb, base, more = "had", follows["verb"], participle, more[follows.end() :]
            adverb = (adverb + " " + follows["adverb"]).strip()
        else:
            base = "have"
    elif verb in ("was", "were"):
        follows = re.match(rf"\s(?P<adverb>{ADVERB})(?P<verb>[a-z]+ing)\b", more)
        base = verbs.base_of_gerund(follows["verb"]) if follows else None
        if follows is not None:
            helper, verb, more = "were", follows["verb"], more[follows.end() :]
    if base is None or (not helper and verb in verbs.AUXILIARY - {"had", "did"}):
        return None
    tail, rest = _cut(more.strip())
    if not _clean(rest):
        return None
    return Clause(lead, subject, adverb, helper, verb, base, tail, rest)


def _cut(more: str) -> tuple[str, str]:
    """Return where the clause ends: at a mark, or at a word that may open another."""
    mark = STOP_MARK.search(more)
    end = mark.start() if mark else len(more)
    for word in re.finditer(r"[A-Za-z'-]+", more[:end]):
        low = word[0].lower()
        if low in ("and", "or") and _joins_nouns(more[word.end() : end]):
            continue
        ends = low in STOPS - {"as", "for", "before", "after", "since", "until", "till", "than"}
        if ends or (low in ("as", "before", "after", "since", "until", "till", "for") and _opens_clause(more[word.end() : end])):
            end = word.start()
            break
    return more[:end].strip(), more[end:].strip()


def _clean(rest: str) -> bool:
    """Return whether the clause ends where it was cut: not before "and luxurious room", ", clear whistle" or "that he was there"."""
    match = re.match(r"(?P<mark>,|;|:|—|\(|and|but|or|)\s*(?P<word>[A-Za-z'-]*)", rest)
    if match is None or not rest:
        return True
    word = match["word"].lower()
    if match["mark"] in (";", ":", "—", "("):
        return True
    if match["mark"] in ("", "or"):
        return word not in ("that", "or", "nor", "how", "why", "what", "whether", "whom", "than") and match["mark"] != "or"
    if match["mark"] == "," and rest.startswith((", and", ", but", ", or", ", so", ", for")):
        return True
    known = verbs.base_of_past(word) or verbs.base_of_gerund(word) or word in words.PREPOSITIONS | words.SUBORDINATORS | words.ADVERBS
    return (
        bool(known)
        or word in verbs.AUXILIARY
        or word.endswith("ly")
        or word in ("i", "it", "they", "we", "he", "she", "there")
        or (match["mark"] == "," and word in words.DETERMINERS)
    )


def _joins_nouns(text: str) -> bool:
    """Return whether "and" is followed by a noun phrase: a determiner or possessive, and no verb."""
    after = text.split()[:4]
    if not after or after[0].lower() not in ("the", "a", "an", "my", "your"):
        return False
    return not any(verbs.is_finite(word.lower()) for word in text.split())


def _opens_clause(text: str) -> bool:
    return any(verbs.is_finite(word.lower()) for word in re.findall(r"[A-Za-z]+", text)[:8]) or not text.strip()


def is_plain(text: str) -> bool:
    """Return whether a question may repeat `text`: it has a noun with its article or a name, and no word that points elsewhere."""
    low = re.findall(r"[a-z'-]+", text.lower())
    if (
        not low
        or VAGUE & set(low)
        or low[-1] in ORDINALS
        or low[-1] in words.DETERMINERS | words.PREPOSITIONS - PARTICLES | words.CONJUNCTIONS
    ):
        return False
    return re.search(r"\b(?:the|a|an|my|your|some|no|two|three|four)\s[a-z]|[A-Z][a-z]", text) is not None


def you_clause(text: str, most_words: int = 14) -> str | None:
    """ "you reached the bank", for a question about a sentence that says "I reached the bank"; None where nothing clear can be said."""
    clause = parse(text)
    if clause is None or not is_plain(clause.asked) or clause.base in ("have", "do", "say"):
        return None
    helper = "was" if clause.helper == "were" else clause.helper
    words_of = " ".join(part for part in ("I", helper, clause.verb, clause.asked) if part)
    if not 4 <= len(words_of.split()) <= most_words or NEGATIVE.search(f"{clause.adverb} {clause.tail}"):
        return None
    return to_you(words_of)
