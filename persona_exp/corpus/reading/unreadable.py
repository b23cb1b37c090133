"""What the readers of docx, epub and pdf agree on, apart from the process that runs them."""

# Begins a heading, followed by its level (1 to 9), in the text of a container: no text file has it after decoding.
HEADING = "\x1d"
MAX_CHARACTERS = 16 << 20


class Unreadable(Exception):
    """A container that cannot be read: the message says of it why, and what to do."""
