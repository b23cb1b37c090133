"""Words with a capital that are nobody's name: places, days, nations, words that open a sentence."""

from persona_exp.corpus.word_lists import word_set

# A name that ends in one of these is a place or a thing.
PLACE_NOUNS = word_set("""
    Street Road Park House Hall Abbey Square Lane Place Bridge Hotel Inn Church Cathedral County River Island Islands Lodge Town
    Farm Castle Station Terrace Crescent Gate Heath Row Club College University School Theatre Mountains Hill Hills Court Bay Sea
    Ocean Lake City Village Palace Tower Office Bank Company Society Museum Library Gardens Garden Buildings Circus Yard Wharf
    Docks Dock Market Common Forest Valley Chapel Avenue Cottage Grange Manor Priory Green Times Gazette Chronicle Review Post
    Telegraph Standard Act War Room Rooms Opera Exchange Parliament Arms Parsonage Vicarage Rectory Hospital Pond Bazaar Chambers
    Fort Harbour Junction Quay Pier Cove Head Point Moor End
""")
# Capitalised in the middle of a sentence, yet nobody's name.
NON_NAMES = word_set("""
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
""")
# Words, in small letters, that open a sentence with a capital, or have one always, and are nobody's name.
NON_NAME_TOKENS = word_set("""
    a after again ah all although american an and another anybody april are as at august be because been before both but by by-and-by can
    chapter christmas could december did do during each easter england english even every everybody everything february finally five for
    four france french friday from german god had have he heaven her here his how however i if in indeed is it italian its january july
    june just let london lord march may meanwhile might miss monday mr mrs must my never no nobody nor not nothing november now o october
    of oh on once one only or our over paris part perhaps presently rome russian saturday september she should since sir six so some
    somebody something spanish still such suddenly sunday that the their then there these they this those though three thursday thus till
    to tuesday two under until upon was we wednesday well what when where whether which while who why will with would yes yet you
""")
