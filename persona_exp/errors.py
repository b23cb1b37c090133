"""The one exception for input that a person can put right."""


class UserError(Exception):
    """Bad input: the message is one sentence that names the cause and the fix, shown without a traceback."""
