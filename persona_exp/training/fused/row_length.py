"""How many tokens go through the model at once, on a device whose memory is known: measured in the first steps, not guessed."""

from persona_exp.modeling.bundle.shared import Shared

# Longer rows than that are no faster on a GPU, and never were on a CPU.
LONGEST = 16384
# Of the memory; what is left is for longer documents than those measured, and for fragments.
FILLED = 0.8


def grown(row_tokens: int, *, seen: int, resident: int, peak: int, total: int, longest: int = LONGEST) -> int:
    """Tokens of a row of which, with what is `resident` between rows, a device of `total` bytes is `FILLED`, after a row of `seen` tokens
    had its `peak`; a multiple of 512 up to `longest`, and never fewer than `row_tokens`."""
    a_token = max(1.0, (peak - resident) / max(1, seen))
    fitting = int((FILLED * total - resident) / a_token) // 512 * 512
    return max(row_tokens, min(fitting, longest))


def measured(shared: Shared, row_tokens: int, seen: int) -> int:
    """Tokens of a row from here on, after steps with at most `seen` in one; as before on a CPU."""
    import torch

    if shared.device.type != "cuda":
        return row_tokens
    resident, peak = torch.cuda.memory_allocated(shared.device), torch.cuda.max_memory_allocated(shared.device)
    # What others have of the card is theirs.
    total = torch.cuda.mem_get_info(shared.device)[0] + torch.cuda.memory_reserved(shared.device)
    return grown(row_tokens, seen=seen, resident=resident, peak=peak, total=total)
