"""Verbs of saying, hearing and answering, and patterns of "said he" made of them."""

import re

from persona_exp.corpus.word_lists import word_set

# Verbs of saying, past and present: with these a subject speaks.
SAYING = word_set("""
    acknowledged added addressed adjured admitted advised affirmed agreed allowed announced answered answers apologised apologized
    apostrophised apostrophized argued asked asks assented asserted averred bade barked bawled began begged begins bellowed beseeched
    besought bid blubbered blurted boomed breathed broke burst cackled called cautioned challenged chanted chided chimed chirped chuckled
    coaxed commanded commenced commented complained conceded concluded confessed confided continued contradicted cooed corrected
    counselled cried cries croaked crooned declared demanded directed drawled droned echoed ejaculated enquired entreated exclaimed
    explained expostulated faltered finished fumed gasped giggled granted greeted grinned groaned growled grumbled grunted guessed hailed
    hallooed hazarded hinted hissed hooted howled implored informed inquired inserted insinuated insisted instructed interjected
    interposed interrupted intimated intoned invited jeered joked lamented laughed lisped maintained moaned mocked mouthed mumbled
    murmured mused muttered noted objected observed offered opined ordered owned panted persisted philosophised piped pleaded pouted
    predicted pressed proceeded proclaimed promised prompted pronounced prophesied proposed protested purred pursued put quavered queried
    questioned quipped quoted quoth raged rapped rasped rattled raved read reasoned reassured rebuked recited recollected reflected
    reiterated rejoined remarked remembered reminded remonstrated repeated replied replies reproved responded resumed retorted returned
    roared rumbled said sang says scoffed scolded screamed shouted shrieked sighed simpered smiled smirked snapped snarled sneered sniffed
    sniggered snorted sobbed soliloquised soliloquized speculated spluttered sputtered squeaked squealed stammered stated stormed struck
    stuttered submitted suggested summed supplied surmised swore taunted teased thought threatened threw thundered tittered told trumpeted
    upbraided urged ventured vociferated volunteered vowed wailed warned welcomed went wept wheezed whimpered whispered wondered wrote
    yelled
""")
# These as readily take an object or mean no speech: they count only right beside a piece that is left open.
WEAK_SAYING = word_set("""
    addressed admitted agreed allowed bade began begged begins bid breathed broke burst called challenged concluded directed finished
    granted greeted grinned guessed informed inserted invited laughed noted offered ordered owned panted pressed proceeded promised
    pursued put questioned rapped rattled read reassured recollected reflected remembered reminded returned sang sighed smiled sniffed
    struck submitted summed supplied swore thought threw told welcomed went wept wondered wrote
""")
PARTICIPLES = word_set("""
    adding answering asking calling continuing crying declaring demanding ejaculating exclaiming gasping inquiring murmuring muttering
    observing remarking repeating replying saying screaming shouting thinking whispering
""")
INFINITIVES = word_set("""
    add answer ask begin call continue cry declare enquire exclaim explain inquire murmur mutter observe protest remark reply say shout
    suggest whisper
""")
# Nouns that do the speaking: "was her answer".
ANSWERS = word_set("""
    amendment answer answering command comment cry exclamation farewell greeting injunction observation order question rejoinder remark
    reply request response retort salutation speech suggestion verdict voice words
""")
# "He heard Katharine say": what is said stands behind these.
HEARING = frozenset(("heard", "hear", "hearing", "overheard", "overhearing", "saw", "made", "found", "let"))

# Patterns: verbs of saying and thinking that stand beside speech, in its tenses.
SAYS = (
    r"(?:said|says|saying|say|saith|quoth|sez|asked|asks|asking|cried|cries|crying|answered|answering|replied|replying|remarked|exclaimed|"
    r"exclaiming|observed|observing|returned|continued|murmured|murmuring|muttered|muttering|whispered|whispering|shouted|shouting|growled|"
    r"repeated|repeating|added|adding|inquired|enquired|demanded|ejaculated|interposed|interrupted|suggested|declared|declaring|protested|"
    r"explained|announced|began|resumed|called|calling|roared|screamed|gasped|groaned|sighed|sobbed|laughed|snarled|snapped|grumbled|"
    r"retorted|rejoined|responded|admitted|agreed|assented|confessed|insisted|persisted|proceeded|pursued|pleaded|urged|ventured|faltered|"
    r"stammered|stuttered|hissed|bellowed|shrieked|yelled|wailed|moaned|mumbled|drawled|echoed|concluded|objected|thought|wrote|mused|"
    r"reflected|reiterated|breathed|burst|broke|went|put|told|bawled|smiled|nodded|wondered|subjoined|commented)"
)
SOMEBODY = r"(?:I|he|she|they|we|you|it|one|somebody|someone|everybody|[Tt]he|[Aa]n?|[Mm]y|[Hh]is|[Hh]er|[Tt]heir|[Oo]ur|Mr|Mrs|[A-Z]\w+)\b"
ADVERB = r"(?:(?:\w+ly|again|then|now|once|had|at\s+last|at\s+length|at\s+once|also|only|poor)\s+)?"
NAMED = r"(?:I|[Hh]e|[Ss]he|[Tt]hey|[Ww]e|(?:Mr|Mrs|Dr|Miss)\.?\s+\w+|[A-Z]\w+(?:\s+[A-Z]\w+)?|[Tt]he(?:\s+[\w-]+){1,3})"
# "said he", "he said".
CUE = rf"(?:{ADVERB}{SAYS}\s+{ADVERB}{SOMEBODY}|{NAMED}\s+{ADVERB}{SAYS}\b)"
# A cue behind the closing mark of what is said.
CUE_BEHIND = re.compile(rf"[\s,;:.—–-]*(?:\(|and\s+|so\s+)?{CUE}")
