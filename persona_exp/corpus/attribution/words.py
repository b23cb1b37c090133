"""Word lists: verbs of saying and doing, titles, nouns and pronouns for people, as English fiction uses them."""

import re


def words(text: str) -> frozenset[str]:
    """The words of a list parted by blanks."""
    return frozenset(text.split())


# Verbs of saying, past and present: with these a subject speaks.
SAYING = words(
    """
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
    """
)
# These as readily take an object or mean no speech: they count only right beside a piece that is left open.
WEAK = words(
    """
    addressed admitted agreed allowed bade began begged begins bid breathed broke burst called challenged concluded directed finished
    granted greeted grinned guessed informed inserted invited laughed noted offered ordered owned panted pressed proceeded promised
    pursued put questioned rapped rattled read reassured recollected reflected remembered reminded returned sang sighed smiled sniffed
    struck submitted summed supplied swore thought threw told welcomed went wept wondered wrote
    """
)
PARTICIPLES = words(
    """
    adding answering asking calling continuing crying declaring demanding ejaculating exclaiming gasping inquiring murmuring muttering
    observing remarking repeating replying saying screaming shouting thinking whispering
    """
)
INFINITIVES = words(
    """
    add answer ask begin call continue cry declare enquire exclaim explain inquire murmur mutter observe protest remark reply say shout
    suggest whisper
    """
)
# Nouns that do the speaking: "was her answer".
ANSWERS = words(
    """
    amendment answer answering command comment cry exclamation farewell greeting injunction observation order question rejoinder remark
    reply request response retort salutation speech suggestion verdict voice words
    """
)
AUXILIARIES = words(
    """
    am are be been being can could did do does had has have is may might must shall should was were will would
    """
)
# Past tenses that do not end in -ed: whoever stands before one acts.
IRREGULAR = words(
    """
    arose ate awoke bade became began beheld bent bit blew bought broke brought built burst came caught chose clung crept cut dealt drank
    drew drove fell felt flew flung forgave forgot fought found froze gave got grew heard held hid hit hung hurt kept knelt knew laid lay
    leaned leant leapt led left lent let lit looked lost made meant met paid put quit ran rang read rode rose said sang sank sat saw sent
    set shone shook shot shut slept slid smote sought spent split spoke sprang spread spun stirred stole stood stooped strode strove
    struck stuck stung swam swept swore swung taught thought threw told took tore trod turned understood went wept withdrew woke won wore
    wrote wrung
    """
)
# Words that may stand between a subject and its verb.
ADVERBS = words(
    """
    abruptly again all almost alone aloud also always at both each even ever first forth half hastily here herself himself however indeed
    instantly just last meanwhile more myself never next not now often once only perhaps presently quite rather so sometimes soon still
    themselves then there therefore thus together too very
    """
)
PREPOSITIONS = words(
    """
    about above across after against among amongst around as at before behind below beneath beside besides between beyond by concerning
    for from in into like near of off on opposite over past regarding round than through to toward towards under upon with within without
    """
)
CONJUNCTIONS = words(
    """
    after although and as because before but for if nor or since so that then though till until when where which while whilst who whom yet
    """
)
DETERMINERS = words(
    """
    a an another any both each every her his its my no one other our some that the their these this those your
    """
)
MALE_TITLES = words(
    """
    abbe abbé baron brother count don duke earl esquire father friar herr king lord m. marquis master monsieur monsignor mr mr. mynheer
    parson prince rev rev. reverend signor sir squire uncle
    """
)
FEMALE_TITLES = words(
    """
    aunt baroness countess dame donna duchess frau fraulein fräulein lady madam madame mademoiselle marchioness marquise miss mlle mlle.
    mme mme. mother mrs mrs. ms ms. princess queen señora signora signorina sister widow
    """
)
# Titles that tell no gender, and what else stands before a name.
RANKS = words(
    """
    admiral archdeacon bishop canon capt. captain cardinal chief col. colonel commander commodore constable corporal deacon dean dear
    detective doctor dr dr. elder general good governor hon. honest inspector judge lieut. lieutenant little lt. major messrs messrs. old
    pastor poor president private prof. professor saint senator sergeant sergt. st st. superintendent young
    """
)
TITLES = MALE_TITLES | FEMALE_TITLES | RANKS

MALE_NOUNS = words(
    """
    abbot actor admiral bachelor barber baron baronet beadle bishop blacksmith boatman boy bridegroom brother brother-in-law butcher
    butler cabman captain carpenter chap clergyman coachman colonel constable count countryman curate dad daddy dandy duke dutchman earl
    emperor englishman father father-in-law fellow fisherman footman frenchman friar general gent gentleman godfather grandfather
    grandpapa grandson groom headmaster hermit hero host huntsman husband inspector irishman jailer jew king knight lad landlord
    lieutenant lord lover major man master men milkman monarch monk negro nephew nobleman papa parson peer policeman porter postman priest
    prince prizefighter rector sailor schoolmaster scotchman seaman sergeant shopman signor sire soldier son son-in-law squire stepfather
    stepson steward sultan swain tinker uncle undertaker vicar waiter widower wizard workman youngster youth
    """
)
FEMALE_NOUNS = words(
    """
    actress aunt ballerina barmaid baroness bride chambermaid charwoman countess dairymaid dame damsel daughter daughter-in-law dressmaker
    duchess empress girl goddess godmother governess granddaughter grandmamma grandmother heiress heroine hostess housekeeper housemaid
    kitchenmaid lady lady's-maid landlady lass laundress madam maid maiden mama mamma marchioness matron milliner mistress mother
    mother-in-law mum mummy niece nun nurse nursemaid parlormaid parlour-maid parlourmaid princess queen schoolmistress seamstress signora
    sister sister-in-law spinster stepdaughter stepmother waitress widow wife witch woman women
    """
)
NEUTRAL_NOUNS = words(
    """
    agent animal artist attorney author baby baker bird cat caterpillar child clerk client companion convict cook cousin creature dealer
    detective doctor dormouse driver editor elder farmer figure former friend ghost gryphon guard guest hare hatter host infant invalid
    judge juror keeper latter lawyer magistrate manager merchant minister mouse narrator neighbor neighbour newcomer officer official one
    orphan other others owner painter parent party patient person physician poet prisoner professor pupil rabbit robber scholar secretary
    servant speaker spy stranger student surgeon teacher tenant thief traveller turtle visitor voice writer younger
    """
)
PEOPLE_NOUNS = MALE_NOUNS | FEMALE_NOUNS | NEUTRAL_NOUNS
# Nouns for family, who often share a surname.
KIN = words(
    """
    aunt brother cousin daughter father grandfather grandmother husband lady mamma mother nephew niece papa sister son uncle wife
    """
)
MALE_ADDRESS = words(
    """
    brother dad daddy father gentlemen papa sir uncle
    """
)
FEMALE_ADDRESS = words(
    """
    aunt ma'am madam mama mamma marm ma’am miss mother mum mummy sister
    """
)

# Words that open a sentence with a capital, or have one always, and are nobody's name.
NOT_NAMES = words(
    """
    a after again ah all although american an and another anybody april are as at august be because been before both but by by-and-by can
    chapter christmas could december did do during each easter england english even every everybody everything february finally five for
    four france french friday from german god had have he heaven her here his how however i if in indeed is it italian its january july
    june just let london lord march may meanwhile might miss monday mr mrs must my never no nobody nor not nothing november now o october
    of oh on once one only or our over paris part perhaps presently rome russian saturday september she should since sir six so some
    somebody something spanish still such suddenly sunday that the their then there these they this those though three thursday thus till
    to tuesday two under until upon was we wednesday well what when where whether which while who why will with would yes yet you
    """
)

TOKEN = re.compile(
    r"(?:Mr|Mrs|Ms|Messrs|Dr|St|Capt|Col|Lieut|Lt|Sergt|Rev|Prof|Hon|Mme|Mlle)\.|(?<![^\W_])[A-Z]\.(?=\s*[A-Z])|[’']s\b|"
    r"[^\W_]+(?:[-’'][^\W_]+(?<![’']s))*|--|—|\.\.\.|[^\w\s]"
)
