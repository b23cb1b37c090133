"""The id of an evaluation, and the version of how it is made."""

from persona_exp.atomic_files import digest

# Raised by hand whenever a number of an evaluation can change: metrics, choice of items, decoding, lexicon, precision, or what goes through
# a GPU at once.
EVALUATION_VERSION = 2


def evaluation_id(
    *,
    trial_id: str,
    data_id: str,
    split: str,
    condition: str,
    likelihood_items: int,
    generated_items: int,
    max_new_tokens: int,
    max_length: int,
) -> str:
    """Return 12 hex digits that name an evaluation before it is made: a digest of all that its numbers depend on."""
    return digest(
        {
            "trial_id": trial_id,
            "data_id": data_id,
            "split": split,
            "condition": condition,
            "likelihood_items": likelihood_items,
            "generated_items": generated_items,
            "max_new_tokens": max_new_tokens,
            "max_length": max_length,
            "EVALUATION_VERSION": EVALUATION_VERSION,
        }
    )[:12]
