"""A book file to cleaned text, its chapters and its paragraphs."""
