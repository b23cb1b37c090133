"""What a device does with rows of different lengths, measured before the first step: how fast, and in how much memory."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle

import torch

from persona_exp.modeling.bundle.row import Document
from persona_exp.modeling.bundle.shared import Shared
from persona_exp.training.fused.lane import Lane, supervised_tokens
from persona_exp.training.fused.row_pass import Nats, NoRoom, learn

# Tokens of the rows that are tried. Longer ones are no faster.
LENGTHS = (512, 1024, 2048, 4096, 8192, 16384)
# A row that is twice as long as another is faster if it is faster by this part.
FASTER = 1.05
# Of the memory; what is left is for longer documents than those measured, and for fragments.
FILLED = 0.8


@dataclass(frozen=True)
class Probe:
    """Of `trials` that ride: (tokens of a row, tokens a second) by rising length; what lies in memory between rows, and what a row needs
    for each of its tokens besides. Bytes are 0 on a CPU, which does not tell."""

    trials: int
    speeds: tuple[tuple[int, float], ...]
    resident_bytes: int
    bytes_per_token: float

    def row_tokens(self, least: int, total: int) -> int:
        """Tokens of a row that fills `FILLED` of a device of `total` bytes; a multiple of 512, up to the longest of `LENGTHS` and never
        fewer than `least`."""
        fitting = int((FILLED * total - self.resident_bytes) / max(1.0, self.bytes_per_token)) // 512 * 512
        return max(least, min(fitting, LENGTHS[-1]))


def rows_that_fit(shared: Shared, lanes: Sequence[Lane], row_tokens: int) -> tuple[int, Probe | None]:
    """Tokens of a row from here on, `row_tokens` or more, and what a GPU has shown of them; `row_tokens` on a CPU, where longer ones
    never were any faster."""
    if shared.device.type != "cuda":
        return row_tokens, None
    found = probe(shared, lanes)
    # What others have of the card is theirs.
    total = torch.cuda.mem_get_info(shared.device)[0] + torch.cuda.memory_reserved(shared.device)
    return (found.row_tokens(row_tokens, total) if found else row_tokens), found


def probe(shared: Shared, lanes: Sequence[Lane], lengths: Sequence[int] = LENGTHS) -> Probe | None:
    """Pass rows of the next documents of `lanes`, over and over, and learn nothing; None where even the shortest has no room.

    A row of each of `lengths` goes forward and backward twice, and the second time counts; no longer ones are tried than fit, nor when
    two in turn were no faster.
    """
    for lane in lanes:
        shared.join(lane.number, lane.adapter)
    windows = {lane.number: lane.window() for lane in lanes}
    speeds: list[tuple[int, float]] = []
    resident, a_token = 0, 0.0
    for length in lengths:
        documents = _row(windows, length)
        tokens = sum(len(one.input_ids) for one in documents)
        if speeds and tokens <= speeds[-1][0]:
            # No shorter than a document of each lane.
            continue
        try:
            _pass(shared, documents)
            _forget_peak(shared.device)
            seconds = _pass(shared, documents)
        except NoRoom:
            break
        finally:
            for lane in lanes:
                lane.adapter.zero_grad()
        speeds.append((tokens, tokens / seconds))
        resident, peak = _memory(shared.device)
        a_token = (peak - resident) / tokens
        if len(speeds) > 2 and speeds[-1][1] < FASTER * min(speed for _, speed in speeds[-3:-1]):
            break
    _free(shared.device)
    return Probe(len(lanes), tuple(speeds), resident, a_token) if speeds else None


def _row(windows: Mapping[int, Sequence[Document]], tokens: int) -> list[Document]:
    """Each lane's documents, those of one lane together, until it has its share of `tokens`."""
    row = []
    for window in windows.values():
        left = tokens / len(windows)
        for document in cycle(window):
            row.append(document)
            left -= len(document.input_ids)
            if left <= 0:
                break
    return row


def _pass(shared: Shared, documents: Sequence[Document]) -> float:
    """Seconds of a row."""
    weights = {one.lane: 1 / supervised_tokens(documents) for one in documents}
    _wait(shared.device)
    began = time.perf_counter()
    learn(shared, documents, weights, Nats())
    _wait(shared.device)
    return time.perf_counter() - began


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _forget_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def _memory(device: torch.device) -> tuple[int, int]:
    """Bytes now, and at most since `_forget_peak`."""
    if device.type != "cuda":
        return 0, 0
    return torch.cuda.memory_allocated(device), torch.cuda.max_memory_allocated(device)


def _free(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.empty_cache()
