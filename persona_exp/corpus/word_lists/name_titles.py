"""Titles before people's names ("Mr.", "Captain", "Lady"), and other words that belong to a name or stand before it."""

from persona_exp.corpus.word_lists import word_set

# What a title says of its bearer, by its spelling without a full stop. "plain" titles and ranks are worn by different men of one family.
PLAIN_TITLES = {"mr": "mr", "mister": "mr", "master": "master", "sir": "sir", "monsieur": "mr", "signor": "mr", "herr": "mr", "don": "sir"}
RANK_TITLES = {
    **{title: title for title in ("dr", "captain", "colonel", "major", "general", "lieutenant", "sergeant", "inspector", "constable")},
    **{title: title for title in ("professor", "reverend", "judge", "admiral", "count", "baron", "prince", "duke", "king", "earl", "lord")},
    **{title: title for title in ("marquis", "alderman", "squire", "uncle", "father", "brother", "grandfather", "commander", "corporal")},
    **{title: title for title in ("private", "bishop", "deacon", "president", "commodore", "elder", "viscount", "emperor", "sheriff")},
    "doctor": "dr", "capt": "captain", "col": "colonel", "gen": "general", "lieut": "lieutenant", "lt": "lieutenant", "rev": "reverend",
    "sergt": "sergeant", "sgt": "sergeant", "prof": "professor", "maj": "major", "parson": "reverend", "vicar": "reverend",
}  # fmt: skip
WOMENS_TITLES = {
    **{title: title for title in ("miss", "lady", "aunt", "mother", "sister", "countess", "baroness", "princess", "duchess", "queen")},
    **{title: title for title in ("grandmother", "nurse", "viscountess", "marchioness", "empress", "nanny", "granny")},
    "mrs": "mrs", "ms": "ms", "madame": "mrs", "mme": "mrs", "madam": "mrs", "mademoiselle": "miss", "mlle": "miss", "signora": "mrs",
    "signorina": "miss", "frau": "mrs", "fraulein": "miss", "dame": "lady", "widow": "mrs", "missis": "mrs", "auntie": "aunt",
}  # fmt: skip
TITLE_KEYS = {**PLAIN_TITLES, **RANK_TITLES, **WOMENS_TITLES}
# Before a name, these are no part of it.
EPITHETS = frozenset(("old", "young", "poor", "little", "dear", "good", "honest"))
PARTICLES = frozenset(("of", "de", "du", "la", "le", "von", "van", "der", "den", "della", "di", "da", "des", "d’", "d'"))

# Titles as narration writes them, in small letters.
MALE_TITLES = word_set("""
    abbe abbé baron brother count don duke earl esquire father friar herr king lord m. marquis master monsieur monsignor mr mr. mynheer
    parson prince rev rev. reverend signor sir squire uncle
""")
FEMALE_TITLES = word_set("""
    aunt baroness countess dame donna duchess frau fraulein fräulein lady madam madame mademoiselle marchioness marquise miss mlle mlle.
    mme mme. mother mrs mrs. ms ms. princess queen señora signora signorina sister widow
""")
# Titles that tell no gender, and what else stands before a name.
GENDERLESS_TITLES = word_set("""
    admiral archdeacon bishop canon capt. captain cardinal chief col. colonel commander commodore constable corporal deacon dean dear
    detective doctor dr dr. elder general good governor hon. honest inspector judge lieut. lieutenant little lt. major messrs messrs. old
    pastor poor president private prof. professor saint senator sergeant sergt. st st. superintendent young
""")
TITLES = MALE_TITLES | FEMALE_TITLES | GENDERLESS_TITLES
FEW_PARTICLES = frozenset(("de", "du", "la", "le", "von", "van", "der", "of", "the", "in", "at", "to", "on"))
