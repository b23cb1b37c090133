"""A sweep on disk: what it wants, what was submitted of it, how it stands."""
