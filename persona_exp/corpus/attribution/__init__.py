"""Attribution: who says a quotation, told by the words beside it, the people at hand and the turns of the conversation."""
