"""Who is named or addressed in what a line says: "Come, Pell.", "my dear Watson", "sir"; and who names himself."""

import re
from collections.abc import Sequence

from persona_exp.corpus.cast.name_forms import NameForms
from persona_exp.corpus.speaker_attribution.quote_context import DialogueLine
from persona_exp.corpus.word_lists.name_titles import TITLES
from persona_exp.corpus.word_lists.person_nouns import FEMALE_ADDRESS, MALE_ADDRESS

CAPITALISED = re.compile(r"[^\W\d_a-z][\w’'-]*\.?")
BEFORE_ADDRESS = re.compile(
    r"(?:^|[,.!?;:—“\"‘]|--|\b(?:[Oo]h|[Aa]h|[Yy]es|[Nn]o|[Dd]ear|[Dd]earest|[Mm]y|[Ww]ell|[Nn]ow|[Cc]ome))\s*(?:(?:Mr|Mrs|Dr)\.\s*|(?:Miss|Captain|Colonel|Inspector|Doctor|Major|Sergeant|Professor)\s+)?$"
)
SELF = re.compile(r"\b(?:I am|I['’]m|I m|[Mm]y name is|[Mm]y name['’]s)\s+$")
AFTER_ADDRESS = re.compile(r"\s*(?:[,.!?;:—”\"]|--|$)")
POLITE = re.compile(
    rf"(?:^|[,.!?;—]\s*|\bmy )(?:dear |good )?({'|'.join(sorted(MALE_ADDRESS | FEMALE_ADDRESS))})(?=\s*(?:[,.!?;—]|--|$))", re.IGNORECASE
)


def find_vocatives(lines: Sequence[DialogueLine], text: str, forms: NameForms) -> None:
    """Set in each line whom its words name, address and introduce."""
    for line in lines:
        for start, end in line.quote.spans:
            _read_speech(line, text[start:end], forms)


def _read_speech(line: DialogueLine, said: str, forms: NameForms) -> None:
    polite = POLITE.search(said)
    if polite:
        line.polite = "male" if polite[1].lower() in MALE_ADDRESS else "female"
        line.kin = polite[1].lower()
    upto = 0
    for match in CAPITALISED.finditer(said):
        if match.start() < upto:
            continue
        low = match[0].rstrip(".").lower()
        if low not in forms.by_first:
            continue
        words = said[match.start() : match.start() + 60].split()
        bare = [word.strip(",.!?;:—-”\"’'_()") for word in words]
        lows = [word.lower() for word in bare]
        for form in forms.by_first[low]:
            length = len(form.tokens)
            if length == 1 and low in TITLES and len(bare) > 1 and bare[1][:1].isupper() and bare[0] == words[0].rstrip("."):
                continue
            if not form.common and tuple(lows[:length]) == form.tokens:
                upto = (
                    match.start() + sum(len(word) + 1 for word in words[: length - 1]) + len(words[length - 1].rstrip(",.!?;:—-”\"’'_()"))
                )
                before = said[max(0, match.start() - 16) : match.start()]
                if SELF.search(before) and len(form.people) == 1 and said[upto : upto + 2] not in ("'s", "’s"):
                    line.introduces = form.people[0]
                    break
                line.named.update(form.people if len(form.people) == 1 else ())
                if BEFORE_ADDRESS.search(before) and AFTER_ADDRESS.match(said, upto):
                    line.addressed += [person for person in form.people if person not in line.addressed]
                break
