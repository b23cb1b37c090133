"""How large a book may be. A file beyond a limit is refused with a sentence: no novel is so large."""

# Of a text file: the longest novels have 13 MB and 200,000 lines.
MAX_TEXT_BYTES = 16 << 20
MAX_LINES = 1_000_000
# A novel that has lost its line ends is still read; what is longer has no paragraphs to learn from.
MAX_LINE = 4 << 20
# Of a docx, epub or pdf, pictures included; of what it unpacks to without them; of its text.
MAX_DOCUMENT_BYTES = 512 << 20
MAX_UNPACKED_BYTES = 256 << 20
MAX_ARCHIVE_FILES = 50_000
MAX_PAGES = 20_000
MAX_CHARACTERS = 16 << 20
