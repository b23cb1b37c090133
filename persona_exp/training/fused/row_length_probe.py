"""How fast a device computes rows of different lengths, and in how much memory: measured before the first step."""

import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle

import torch

from persona_exp.modeling.multi_lora.row_tensors import Document
from persona_exp.modeling.multi_lora.shared_model import SharedModel
from persona_exp.training.fused.row_forward_backward import RowOutOfMemory, SlotLosses, forward_backward
from persona_exp.training.fused.slot import Slot, supervised_tokens

# Tokens of the rows that are measured. Longer ones are no faster.
LENGTHS = (512, 1024, 2048, 4096, 8192, 16384)
# A row that is twice as long as another is faster if it is faster by this part.
FASTER = 1.05
# Of the memory; what is left is for longer documents than those measured, and for fragments.
FILLED = 0.8


@dataclass(frozen=True)
class RowLengthProbe:
    """With `trials` in the bundle: (tokens of a row, tokens a second) by rising length; bytes in memory between rows, and those that a row
    needs for each of its tokens besides. Bytes are 0 on a CPU, where they are not known."""

    trials: int
    speeds: tuple[tuple[int, float], ...]
    resident_bytes: int
    bytes_per_token: float

    def row_tokens(self, least: int, total: int) -> int:
        """Return the tokens of a row that fills `FILLED` of a device of `total` bytes; a multiple of 512, up to the longest of `LENGTHS`
        and never fewer than `least`."""
        fitting = int((FILLED * total - self.resident_bytes) / max(1.0, self.bytes_per_token)) // 512 * 512
        return max(least, min(fitting, LENGTHS[-1]))


def fitting_row_tokens(shared: SharedModel, slots: Sequence[Slot], row_tokens: int) -> tuple[int, RowLengthProbe | None]:
    """Return the tokens of a row from here on, `row_tokens` or more, and the probe of a GPU; `row_tokens` on a CPU, where longer ones never
    were any faster."""
    if shared.device.type != "cuda":
        return row_tokens, None
    found = probe(shared, slots)
    # Memory that other processes hold is not ours.
    total = torch.cuda.mem_get_info(shared.device)[0] + torch.cuda.memory_reserved(shared.device)
    return (found.row_tokens(row_tokens, total) if found else row_tokens), found


def probe(shared: SharedModel, slots: Sequence[Slot], lengths: Sequence[int] = LENGTHS) -> RowLengthProbe | None:
    """Compute rows of the next documents of `slots`, over and over, and learn nothing. Return None where there is no memory for even the
    shortest, or where one fails: whose fault that is their first step shows.

    A row of each of `lengths` goes forward and backward twice, and the second time counts; none that does not fit is tried, nor any after
    two in turn that were no faster.
    """
    for slot in slots:
        shared.join(slot.number, slot.adapter)
    windows = {slot.number: slot.documents() for slot in slots}
    speeds: list[tuple[int, float]] = []
    resident, a_token = 0, 0.0
    for length in lengths:
        documents = _row(windows, length)
        tokens = sum(len(one.input_ids) for one in documents)
        if speeds and tokens <= speeds[-1][0]:
            # No shorter than a document of each slot.
            continue
        try:
            _pass(shared, documents)
            _forget_peak(shared.device)
            seconds = _pass(shared, documents)
        except RowOutOfMemory:
            break
        except Exception as error:
            traceback.clear_frames(error.__traceback__)
            print(f"Rows of several lengths could not be tried ({type(error).__name__}: {error}).", flush=True)
            return None
        finally:
            for slot in slots:
                slot.adapter.zero_grad()
        speeds.append((tokens, tokens / seconds))
        resident, peak = _memory(shared.device)
        a_token = (peak - resident) / tokens
        if len(speeds) > 2 and speeds[-1][1] < FASTER * min(speed for _, speed in speeds[-3:-1]):
            break
    _free(shared.device)
    return RowLengthProbe(len(slots), tuple(speeds), resident, a_token) if speeds else None


def _row(windows: Mapping[int, Sequence[Document]], tokens: int) -> list[Document]:
    """Return each slot's documents, those of one slot together, until it has its share of `tokens`."""
    row = []
    for window in windows.values():
        left = tokens / len(windows)
        for document in cycle(window):
            row.append(document)
            left -= len(document.input_ids)
            if left <= 0:
                break
    return row


def _pass(shared: SharedModel, documents: Sequence[Document]) -> float:
    """Return the seconds of a row."""
    weights = {one.slot: 1 / supervised_tokens(documents) for one in documents}
    _wait(shared.device)
    began = time.perf_counter()
    forward_backward(shared, documents, weights, SlotLosses())
    _wait(shared.device)
    return time.perf_counter() - began


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _forget_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def _memory(device: torch.device) -> tuple[int, int]:
    """Return the bytes in use now, and at most since `_forget_peak`."""
    if device.type != "cuda":
        return 0, 0
    return torch.cuda.memory_allocated(device), torch.cuda.max_memory_allocated(device)


def _free(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.empty_cache()
