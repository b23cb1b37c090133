"""Nouns for people, by gender; for family; and the words by which people are addressed."""

from persona_exp.corpus.word_lists import word_set

MALE_NOUNS = word_set("""
    abbot actor admiral bachelor barber baron baronet beadle bishop blacksmith boatman boy bridegroom brother brother-in-law butcher
    butler cabman captain carpenter chap clergyman coachman colonel constable count countryman curate dad daddy dandy duke dutchman earl
    emperor englishman father father-in-law fellow fisherman footman frenchman friar general gent gentleman godfather grandfather
    grandpapa grandson groom headmaster hermit hero host huntsman husband inspector irishman jailer jew king knight lad landlord
    lieutenant lord lover major man master men milkman monarch monk negro nephew nobleman papa parson peer policeman porter postman priest
    prince prizefighter rector sailor schoolmaster scotchman seaman sergeant shopman signor sire soldier son son-in-law squire stepfather
    stepson steward sultan swain tinker uncle undertaker vicar waiter widower wizard workman youngster youth
""")
FEMALE_NOUNS = word_set("""
    actress aunt ballerina barmaid baroness bride chambermaid charwoman countess dairymaid dame damsel daughter daughter-in-law dressmaker
    duchess empress girl goddess godmother governess granddaughter grandmamma grandmother heiress heroine hostess housekeeper housemaid
    kitchenmaid lady lady's-maid landlady lass laundress madam maid maiden mama mamma marchioness matron milliner mistress mother
    mother-in-law mum mummy niece nun nurse nursemaid parlormaid parlour-maid parlourmaid princess queen schoolmistress seamstress signora
    sister sister-in-law spinster stepdaughter stepmother waitress widow wife witch woman women
""")
NEUTRAL_NOUNS = word_set("""
    agent animal artist attorney author baby baker bird cat caterpillar child clerk client companion convict cook cousin creature dealer
    detective doctor dormouse driver editor elder farmer figure former friend ghost gryphon guard guest hare hatter host infant invalid
    judge juror keeper latter lawyer magistrate manager merchant minister mouse narrator neighbor neighbour newcomer officer official one
    orphan other others owner painter parent party patient person physician poet prisoner professor pupil rabbit robber scholar secretary
    servant speaker spy stranger student surgeon teacher tenant thief traveller turtle visitor voice writer younger
""")
PEOPLE_NOUNS = MALE_NOUNS | FEMALE_NOUNS | NEUTRAL_NOUNS
# Nouns for family, who often share a surname.
KIN = word_set("""
    aunt brother cousin daughter father grandfather grandmother husband lady mamma mother nephew niece papa sister son uncle wife
""")
MALE_ADDRESS = word_set("""
    brother dad daddy father gentlemen papa sir uncle
""")
FEMALE_ADDRESS = word_set("""
    aunt ma'am madam mama mamma marm ma’am miss mother mum mummy sister
""")
# Nouns that tell nobody from another.
GENERIC_NOUNS = word_set("""
    man woman gentleman lady boy girl person voice other one fellow friend mr mrs miss sir old young
""")
