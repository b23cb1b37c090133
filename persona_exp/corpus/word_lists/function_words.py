"""Words that hold a sentence together: auxiliaries, adverbs, prepositions, conjunctions, determiners; and past tenses."""

from persona_exp.corpus.word_lists import word_set

AUXILIARIES = word_set("""
    am are be been being can could did do does had has have is may might must shall should was were will would
""")
# Past tenses that do not end in -ed: who stands before one acts.
IRREGULAR_PASTS = word_set("""
    arose ate awoke bade became began beheld bent bit blew bought broke brought built burst came caught chose clung crept cut dealt drank
    drew drove fell felt flew flung forgave forgot fought found froze gave got grew heard held hid hit hung hurt kept knelt knew laid lay
    leaned leant leapt led left lent let lit looked lost made meant met paid put quit ran rang read rode rose said sang sank sat saw sent
    set shone shook shot shut slept slid smote sought spent split spoke sprang spread spun stirred stole stood stooped strode strove
    struck stuck stung swam swept swore swung taught thought threw told took tore trod turned understood went wept withdrew woke won wore
    wrote wrung
""")
# Words that may stand between a subject and its verb.
ADVERBS = word_set("""
    abruptly again all almost alone aloud also always at both each even ever first forth half hastily here herself himself however indeed
    instantly just last meanwhile more myself never next not now often once only perhaps presently quite rather so sometimes soon still
    themselves then there therefore thus together too very
""")
PREPOSITIONS = word_set("""
    about above across after against among amongst around as at before behind below beneath beside besides between beyond by concerning
    for from in into like near of off on opposite over past regarding round than through to toward towards under upon with within without
""")
CONJUNCTIONS = word_set("""
    after although and as because before but for if nor or since so that then though till until when where which while whilst who whom yet
""")
DETERMINERS = word_set("""
    a an another any both each every her his its my no one other our some that the their these this those your
""")
