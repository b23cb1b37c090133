"""Who says a quotation: by the words beside it, the people at hand and the turns of the conversation."""
