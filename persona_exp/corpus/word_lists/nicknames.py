"""Nicknames and short names, with the given names that they stand for."""

from persona_exp.corpus.word_lists import word_set

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
# Short names with the ones they stand for, so that either finds the person.
SHORT_NAMES = dict(
    pair.split(":", 1)
    for pair in word_set(
        """
        bill:william will:william tom:thomas dick:richard harry:henry jack:john jim:james bob:robert ned:edward ted:edward lizzy:elizabeth
        lizzie:elizabeth eliza:elizabeth kitty:catherine kate:catherine nancy:anne polly:mary molly:mary fanny:frances betsy:elizabeth
        bess:elizabeth charley:charles charlie:charles joe:joseph sam:samuel ben:benjamin dan:daniel frank:francis fred:frederick
        maggie:margaret meg:margaret peggy:margaret sally:sarah susy:susan nelly:ellen tony:anthony alec:alexander archie:archibald
        bertie:albert dora:dorothea nan:anne jem:james
        """
    )
)
