"""Who is in a book: names, aliases, genders, and the narrator."""
