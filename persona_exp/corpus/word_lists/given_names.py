"""Given names that English fiction of the eighteenth to the early twentieth century gives to men and to women."""

from persona_exp.corpus.word_lists import word_set

MENS_NAMES = word_set("""
    aaron abel abraham adam adolphus alan albert alec alexander alexis alfred algernon allan ambrose amos andrew angus anthony antony
    archibald archie arnold arthur augustus barnabas bartholomew basil ben benedict benjamin bernard bertie bertram bill billy bob boris
    brian bruce caleb carl cecil cedric charles charley charlie chester christopher clarence claude clement clifford clive colin conrad
    cornelius cuthbert cyril cyrus daniel dave david denis dennis derek dick dmitri donald dorian douglas duncan ebenezer edgar edmund
    edward edwin eli elias elijah ephraim eric ernest ethan eugene eustace evan ezra felix ferdinand fitzwilliam francis frank franklin
    fred freddy frederic frederick gabriel geoffrey george gerald gerard gideon gilbert giles godfrey gordon graham gregory guy harold
    harry henry herbert hercule herman hezekiah hiram horace horatio howard hubert hugh hugo humphrey ian ichabod ignatius ira isaac
    isaiah israel ivan jabez jack jacob jake james jasper jeff jefferson jeffrey jem jeremiah jeremy jerome jerry jim jimmy joe joel john
    johnny jonah jonas jonathan joseph joshua josiah jude jules julian julius justin keith kenneth lambert lancelot laurence lawrence
    lemuel leo leonard leopold leslie lewis lionel lloyd louis lucas lucian lucius luke luther malcolm marcus mark marmaduke martin
    matthew maurice max maximilian melville merton micah michael miles mordecai mortimer moses nathan nathaniel ned newland nicholas nick
    nigel noah noel norman obadiah oliver orlando oscar osmond oswald otto owen patrick paul percival percy peter phil philip phineas pip
    quentin ralph randall randolph raymond reginald reuben richard rob robert robin rodney roger roland rolf ronald rowland rufus rupert
    sam samson samuel saul sebastian septimus seth sherlock sidney sigismund silas silvester simeon simon solomon stanley stephen steve
    steven sydney sylvester ted teddy terence thaddeus theobald theodore thomas timothy titus tobias toby tom tommy tony tristram ulysses
    uriah valentine vernon victor vincent vivian wallace walter wilfred will william willie winston zachary
""")
WOMENS_NAMES = word_set("""
    abigail ada adela adelaide adele agatha agnes alexandra alice alicia alison alma althea amabel amanda amelia amy anastasia angela
    angelica angelina ann anna annabel anne annette annie antonia arabella audrey augusta aurelia aurora barbara beatrice becky bella
    bertha bess bessie beth betsy betty blanche brett bridget brigid camilla carlotta carol caroline carrie cassandra catherine cecilia
    cecily celestine celia charity charlotte chloe christina christine cicely clara clare clarissa claudia clementina constance cora
    cordelia cornelia cynthia daisy daphne deborah deirdre delia della diana dinah dolly dora dorcas doris dorothea dorothy edith edna
    edwina effie elaine eleanor eliza elizabeth ella ellen elsie emily emma emmeline esther ethel etta eugenia eunice euphemia eva
    evangeline eve evelina evelyn fanny felicia felicity fiona flora florence frances freda gemma genevieve georgiana georgina geraldine
    gertrude gladys grace gwen gwendolen hannah harriet hatty helen helena henrietta hermione hester hilda honor honoria hope ida imogen
    irene iris isabel isabella ivy jane janet jean jemima jennie jenny jessica jessie jill joan joanna josephine joyce judith julia
    juliana juliet kate katharine katherine kathleen katie kitty laura lavinia leah leonora letitia lettice lettie lilian lillian lily
    liza lizzie lizzy lois lola lottie louisa louise lucia lucilla lucinda lucretia lucy lydia mabel madeleine madge magdalen maggie mamie
    marcella marcia margaret margery margot maria marian marianne marie marilla marion marjorie martha mary matilda matty maud maude may
    mercy mildred millicent millie minerva minna minnie miranda miriam mollie molly muriel myra nan nancy nellie nelly nettie nina nora
    norah octavia olga olive olivia ophelia pamela pansy patience patty paula pauline pearl peggy penelope philippa phoebe phyllis polly
    priscilla prudence rachel rebecca rhoda rosa rosalie rosalind rosamond rosamund rose rosemary rosie ruby ruth sabina sadie sally sarah
    selina serena sibyl sophia sophie sophy stella susan susanna susie sybil sylvia tabitha tess tessa theodora theresa ursula valerie
    vera verena veronica victoria viola violet virginia wilhelmina winifred winnie zoe
""")
