"""Words of which people's names are made, and words with a capital that name nobody."""

# What a title says of its bearer, by its spelling without a full stop. "plain" titles and ranks are worn by different men of one family.
PLAIN = {"mr": "mr", "mister": "mr", "master": "master", "sir": "sir", "monsieur": "mr", "signor": "mr", "herr": "mr", "don": "sir"}
RANKS = {
    **{title: title for title in ("dr", "captain", "colonel", "major", "general", "lieutenant", "sergeant", "inspector", "constable")},
    **{title: title for title in ("professor", "reverend", "judge", "admiral", "count", "baron", "prince", "duke", "king", "earl", "lord")},
    **{title: title for title in ("marquis", "alderman", "squire", "uncle", "father", "brother", "grandfather", "commander", "corporal")},
    **{title: title for title in ("private", "bishop", "deacon", "president", "commodore", "elder", "viscount", "emperor", "sheriff")},
    "doctor": "dr", "capt": "captain", "col": "colonel", "gen": "general", "lieut": "lieutenant", "lt": "lieutenant", "rev": "reverend",
    "sergt": "sergeant", "sgt": "sergeant", "prof": "professor", "maj": "major", "parson": "reverend", "vicar": "reverend",
}  # fmt: skip
FEMALE = {
    **{title: title for title in ("miss", "lady", "aunt", "mother", "sister", "countess", "baroness", "princess", "duchess", "queen")},
    **{title: title for title in ("grandmother", "nurse", "viscountess", "marchioness", "empress", "nanny", "granny")},
    "mrs": "mrs", "ms": "ms", "madame": "mrs", "mme": "mrs", "madam": "mrs", "mademoiselle": "miss", "mlle": "miss", "signora": "mrs",
    "signorina": "miss", "frau": "mrs", "fraulein": "miss", "dame": "lady", "widow": "mrs", "missis": "mrs", "auntie": "aunt",
}  # fmt: skip
TITLES = {**PLAIN, **RANKS, **FEMALE}
# Before a name, these are no part of it.
EPITHETS = frozenset(("old", "young", "poor", "little", "dear", "good", "honest"))
PARTICLES = frozenset(("of", "de", "du", "la", "le", "von", "van", "der", "den", "della", "di", "da", "des", "d’", "d'"))
# A name that ends in one of these is a place or a thing.
_PLACES = """
    Street Road Park House Hall Abbey Square Lane Place Bridge Hotel Inn Church Cathedral County River Island Islands Lodge Town
    Farm Castle Station Terrace Crescent Gate Heath Row Club College University School Theatre Mountains Hill Hills Court Bay Sea
    Ocean Lake City Village Palace Tower Office Bank Company Society Museum Library Gardens Garden Buildings Circus Yard Wharf
    Docks Dock Market Common Forest Valley Chapel Avenue Cottage Grange Manor Priory Green Times Gazette Chronicle Review Post
    Telegraph Standard Act War Room Rooms Opera Exchange Parliament Arms Parsonage Vicarage Rectory Hospital Pond Bazaar Chambers
    Fort Harbour Junction Quay Pier Cove Head Point Moor End
"""
PLACES = frozenset(_PLACES.split())
# Capitalised in the middle of a sentence, yet nobody's name.
_NOBODY = """
    I O Oh Ah God Lord Heaven Heavens Hell Providence Christ Jesus Christmas Easter Michaelmas Lent Bible Testament Scripture
    Church State Parliament Government Empire Crown Majesty Highness Lordship Ladyship Honour Excellency Monday Tuesday Wednesday
    Thursday Friday Saturday Sunday January February March April June July August September October November December English
    England French France German Germany Germans Italian Italy Spanish Spain Scotch Scottish Scotland Irish Ireland Welsh Wales
    British Britain American America Americans Indian India Indians Chinese China Russian Russia Dutch Roman Romans Rome Greek
    Greeks Greece Latin Jewish Jew Jews Christian Christians Europe European London Londoner Paris Africa African Asia Australia
    Turkish Turk Turks Hebrew Catholic Protestant Englishman Englishmen Frenchman Irishman Scotchman Englishwoman Frenchwoman
    North South East West Nature Fate Fortune Death Time Love Sir Madam Ma’am Ma'am Mr Mrs Miss Messrs Esq Chapter Volume Book
    Part Letter Act Scene Yes No Well Oxford Cambridge Bath Thames Atlantic York Sahib Mondays Sundays Thank Nobody Somebody
    Everybody Dieu Mon Ms St Lor Lud Bless Sikh Sikhs Hindoo Hindoos Mahometan Mohammedan Illustration Note Footnote Contents
    Preface Introduction
"""
NOBODY = frozenset(_NOBODY.split())
# Short for what; either may stand for the same person. A short form of several names joins none of them where both are about.
NICKNAMES = {
    "lizzy": ("elizabeth",), "lizzie": ("elizabeth",), "eliza": ("elizabeth",), "betsy": ("elizabeth",), "bess": ("elizabeth",),
    "beth": ("elizabeth",), "bessie": ("elizabeth",), "kitty": ("catherine", "katherine", "katharine"), "kate": ("catherine", "katherine"),
    "cathy": ("catherine", "katherine"), "kit": ("christopher",), "nelly": ("ellen", "eleanor", "helen"), "nell": ("eleanor", "ellen"),
    "molly": ("mary",), "polly": ("mary",), "maria": (), "peggy": ("margaret",), "meg": ("margaret",), "maggie": ("margaret",),
    "daisy": ("margaret",), "nancy": ("anne", "ann"), "nan": ("anne", "ann"), "nance": ("nancy", "anne"), "annie": ("anne", "ann", "anna"),
    "hetty": ("henrietta", "esther", "hester"), "harriet": (), "sally": ("sarah",), "sue": ("susan",), "fanny": ("frances",),
    "jenny": ("jane", "jennifer"), "janey": ("jane",), "jo": ("josephine",), "amy": ("amelia",), "milly": ("mildred", "millicent"),
    "dolly": ("dorothy", "dorothea"), "dora": ("theodora", "dorothea"), "bella": ("isabella",), "bell": ("isabella",), "lou": ("louisa",),
    "lottie": ("charlotte",), "becky": ("rebecca",), "tess": ("theresa", "teresa"), "vicky": ("victoria",), "gwen": ("gwendolen",),
    "tom": ("thomas",), "tommy": ("thomas",), "bill": ("william",), "billy": ("william",), "will": ("william",), "willy": ("william",),
    "jack": ("john",), "johnny": ("john",), "jim": ("james",), "jimmy": ("james",), "jem": ("james",), "dick": ("richard",),
    "bob": ("robert",), "bobby": ("robert",), "rob": ("robert",), "robin": ("robert",), "ned": ("edward",), "ted": ("edward",),
    "teddy": ("edward", "theodore"), "eddy": ("edward",), "harry": ("henry", "harold"), "hal": ("henry",), "charley": ("charles",),
    "charlie": ("charles",), "joe": ("joseph",), "sam": ("samuel",), "ben": ("benjamin",), "dan": ("daniel",), "davy": ("david",),
    "frank": ("francis",), "fred": ("frederick",), "freddy": ("frederick",), "george": (), "georgie": ("george",), "nick": ("nicholas",),
    "pip": ("philip",), "phil": ("philip",), "mat": ("matthew",), "matt": ("matthew",), "mike": ("michael",), "pat": ("patrick",),
    "steve": ("stephen",), "tony": ("anthony",), "andy": ("andrew",), "alec": ("alexander",), "sandy": ("alexander",),
    "bertie": ("albert",),
    "arty": ("arthur",), "toby": ("tobias",), "noll": ("oliver",), "gus": ("augustus",), "wat": ("walter",), "walt": ("walter",),
}  # fmt: skip
