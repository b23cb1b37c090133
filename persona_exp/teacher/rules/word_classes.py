"""Closed classes of English words, and the lists by which the rules tell persons, places and feelings apart."""


def listed(words: str) -> frozenset[str]:
    """Return the words of a string, parted by blanks."""
    return frozenset(words.split())


PRONOUNS = {
    "he": {"he": "subject", "him": "object", "his": "possessive", "himself": "reflexive"},
    "she": {"she": "subject", "her": "her", "hers": "mine", "herself": "reflexive"},
    "they": {"they": "unknown", "them": "unknown", "their": "unknown", "theirs": "unknown", "themselves": "unknown"},
}
FIRST = listed("i me my mine myself we us our ours ourselves")
DETERMINERS = listed("""the a an this that these those my your his her its our their some any no every each another both all""")
PREPOSITIONS = listed(
    """about above across after against along amid among around at before behind below beneath beside besides between beyond by down
    during for from in inside into like near of off on onto opposite out outside over past round since through throughout to toward
    towards under underneath until till unto up upon with within without than except save but as"""
)
# Also conjunctions: what follows may be a clause.
EITHER = listed("after before since until till than but for as like except save")
CONJUNCTIONS = listed(
    """and but or nor that when while whilst where which whom what how why because if though although as so whenever unless"""
)
SUBORDINATORS = listed(
    """that when while whilst where which who whom whose what how why because if though although as until till before after since
    unless whenever wherever than lest for whether"""
)
ADVERBS = listed(
    """never always still also then now only just once again soon already almost often seldom ever even not here there quite rather too
    very perhaps presently indeed however alone first next last instead meanwhile merely"""
)
OPENERS = listed(
    """then so and but yet now here there presently suddenly again once finally meanwhile when while as at last afterwards instead
    still thereupon whereupon where if though although because until before after since even only next soon"""
)
SAYS = listed(
    """said cried asked answered replied remarked exclaimed observed returned continued murmured muttered whispered shouted growled
    repeated added inquired enquired demanded ejaculated suggested declared protested explained announced began resumed called
    roared gasped groaned sighed laughed snapped retorted rejoined responded admitted agreed assented confessed insisted pursued
    ventured persisted interposed interrupted concluded snarled chuckled grumbled sobbed drawled"""
)
TITLES_HIS = listed(
    """mr master sir lord captain colonel major general lieutenant sergeant inspector constable dr doctor professor rev squire uncle"""
)
TITLES_HER = listed("""mrs miss ms lady madame madam mademoiselle widow dame aunt countess duchess queen princess nurse""")
HIS_NAMES = listed(
    """john james william george charles henry thomas edward edwin robert richard joseph samuel arthur frank frederick albert alfred
    walter david daniel peter paul philip stephen hugh oliver jack tom harry dick bill sam ned jim joe ben fred martin simon adam
    ezra reuben lionel septimus hosea tobias lucius edmund edgar ernest francis geoffrey gilbert godfrey harold herbert jasper
    jonathan leonard lewis louis mark matthew michael nathaniel nicholas oscar patrick ralph roger rupert silas sidney theodore
    timothy victor vincent sherlock newland watson ralph"""
)
HER_NAMES = listed(
    """mary anne ann anna elizabeth eliza jane emma harriet kate katharine catherine isabella caroline charlotte lydia kitty maria
    margaret martha sarah susan ellen alice lucy rose ruth rachel rebecca dorothea dorcas edith emily fanny florence frances
    georgiana grace helen helena ida irene isabel julia laura lily lizzie louisa mabel marian marianne may millicent nancy nelly
    norah olive penelope phoebe polly sophia sophy violet winifred betsy daisy hannah joan judith agnes amelia amy augusta barbara
    beatrice bella"""
)
PERSON_HIS = listed(
    """man gentleman fellow boy lad youth father brother son uncle nephew husband grandfather king prince lord baronet squire priest
    parson clergyman vicar curate bishop monk waiter butler footman groom coachman policeman watchman boatman fisherman salesman
    tradesman workman nobleman countryman madman seaman porter sailor soldier captain colonel major sergeant lieutenant constable
    inspector bachelor widower rascal villain scoundrel ruffian beadle cabman driver coroner detective magistrate dog horse parrot
    chap landlord host monsieur mate skipper ironmonger keeper"""
)
PERSON_HER = listed(
    """woman lady girl mother sister daughter aunt niece wife grandmother queen princess maid housekeeper landlady widow governess
    hostess lass wench nun bride housemaid maiden duchess countess ship boat brig vessel schooner sloop yacht steamer barge mare cat
    matron dame laundress charwoman milliner actress hen cow"""
)
PERSON = listed(
    """person visitor stranger client guest friend companion colleague comrade partner servant child baby infant cousin lawyer doctor
    physician surgeon clerk cook teacher pupil patient prisoner thief criminal murderer burglar assassin enemy neighbour lodger
    tenant relative relation somebody someone witness speaker other latter former official officer agent messenger merchant
    shopkeeper baker butcher grocer farmer labourer gardener gipsy gypsy foreigner creature wretch lover heir orphan traveller
    passenger tutor schoolmaster author writer artist player singer victim culprit fugitive master apprentice pilot animal bird
    beast figure party mortal attorney solicitor banker engineer secretary assistant chemist jeweller pawnbroker owner newcomer intruder
    spy rogue"""
)
PLACE_PREPOSITIONS = listed("in at to from near through into across towards toward beyond outside round about")
PLACE_NAMES = listed(
    """street road square lane house hotel station inn park bridge yard stairs hall court hill river church terrace place gate tower
    wharf dock harbour avenue crescent mews abbey castle cathedral college cottage farm grange lodge manor mansion mill moor villa
    bank bay island hard alley row walk gardens"""
)
NO_PERSON = listed(
    """january february march april may june july august september october november december monday tuesday wednesday thursday friday
    saturday sunday christmas easter michaelmas english french german italian spanish russian american scotch scottish irish welsh
    indian dutch turkish chinese european british london england scotland ireland wales paris france germany italy spain russia
    america india europe africa god heaven bible english victorian o oh ah i roman greek latin times bank board exchange"""
)
# What a person who tells another's deeds cannot have seen inside him.
INNER = listed(
    """thought felt knew wondered believed remembered supposed saw heard noticed observed perceived feared hoped understood confess
    recalled doubted wished fancied imagined loved hated guessed realised realized expected regretted dreamed meant forgot
    considered reflected recollected learned learnt surprise astonishment delight horror amazement curiosity opinion mind thoughts
    memory eyes relief impression heart companion friend colleague experience narrative"""
)
# What a narrator does before other people's eyes.
OUTER = listed(
    """sit stand follow go come take give rise walk run turn enter leave bring open close shut put lay throw pull push draw hand pass
    return ring light lift carry climb jump spring step sink lean bow nod laugh smile shake hold catch seize drop lower raise pour
    read write fetch help drive ride hurry rush stoop kneel knock point touch unlock lock drink eat say ask answer reply remark cry
    tell shout call whisper exclaim inquire protest suggest accompany join descend ascend hasten bend wait stop start sup dine"""
)
SEEMING = listed("""seem seemed appeared seems appears evidently apparently doubtless probably obviously visibly plainly unconsciously""")
# Things whose names look like those of people who do something.
NO_AGENT = listed(
    """letter shutter drawer cover counter locker roller boiler pointer poker slipper matter cracker steamer slaughter silver offer
    order answer corner trigger plaster scatter water rather other whether former latter latter flower shower tower feather leather
    weather never ever over under linger finger anger hunger danger stranger chapter quarter cruiser trouser bumper duster fender
    poster rudder scraper tumbler winder younger elder older wilder calmer warmer closer nearer"""
)
BODY = listed("""shoulder arm hand elbow wrist collar sleeve neck throat head back knee side face coat ear ears lips heels feet""")
AROUND = listed("about around round behind before beside above below over near after")
# The possessive "her" and the object "her" look alike behind these.
TAKES_HER = listed(
    """let made make making saw see seeing heard hear hearing kept keep left leave found find thought think bade helped watched
    watching felt had gave give giving told tell telling asked call called calling showed shewed taught bid offered sent brought
    handed paid wished rendered allowed enabled"""
)
# Behind "her" these may belong to the verb or to a noun.
COMPARES = listed("more most less least much little enough better best worse worst further sooner longer well ill home so yes no")
MONTHS = listed("january february march april may june july august september october november december")
PLACE_NOUNS = listed(
    """room house door window street table chair desk bed hall passage stairs staircase garden yard gate road lane path field wood
    forest bridge river bank shore beach quay pier dock harbour boat ship cabin hold deck station train carriage cab coach church
    churchyard tower shop office kitchen scullery parlour drawing-room dining-room sitting-room bedroom library study cellar attic
    loft barn stable inn hotel tavern public-house fire fireplace hearth grate mantelpiece mantel-piece sofa settle settee bench
    corner cupboard drawer box chest trunk bag basket pocket shelf wall floor ceiling roof ladder landing threshold doorstep
    pavement kerb square market town city village county country hill valley moor marsh sea water island coast rock cave pit well
    mill farm cottage lodge park lawn terrace avenue porch doorway step steps side foot head top bottom edge end middle centre
    gallery theatre school college court prison cell gaol jail hospital bank museum palace castle hut tent camp ground grass ditch
    hedge stile fence railing post pillar counter rail mast bulkhead hatch plank mat carpet rug cushion pillow tray plate cup glass
    book paper purse wallet waistcoat coat hat lap knee"""
)
# Several people, of whom the persona may be one.
GROUP = listed("sisters brothers cousins lovers couple pair friends companions daughters sons pupils boys girls children")
# A person who may be the persona under another name.
DISGUISED = listed("boy child lad youth girl hero heroine orphan lady man woman gentleman fellow creature")
SMALL = listed("boy child hero heroine lad girl")
YOUNG = listed("young little poor")
PEOPLE = listed(
    """men women people gentlemen ladies others folk everybody servants officers sailors soldiers guests visitors neighbours constables
    policemen boatmen workmen passengers clerks strangers thieves robbers villagers magistrates inspectors"""
)
# How one looks is for others to say.
APPEARANCE = listed("""face features countenance expression profile physique figure gaze glance appearance brow brows visage manner air""")
SHINING = listed("""sparkled glistened twinkled glittered shone gleamed flashed brightened kindled blazed burned""")
