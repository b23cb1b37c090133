"""The matter of a short novel, for tests that read one."""

# What Ada says of each thing: no two sentences alike, or the chapters would be one text, which a split keeps together.
THINGS = {
    "lamp": "is for those who keep the harbour by night",
    "bell": "tells the fishermen when fog has come down",
    "rope": "held my father's boat in the great storm",
    "chart": "shows every shoal but the one that matters",
    "glass": "falls a full day before any gale",
    "ladder": "goes to the loft where old sails lie",
    "barrel": "was washed ashore with nothing in it",
    "anchor": "has lost a fluke among these rocks",
    "kettle": "sings whenever somebody opens that door",
    "shawl": "belonged to my aunt in Bergen",
    "candle": "burns low because the wick is damp",
    "basket": "is what we carry eggs to market in",
}
