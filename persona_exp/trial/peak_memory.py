"""The most memory that training took of the device it runs on."""

import resource
from pathlib import Path


def forget_peak_memory() -> None:
    """Count the peak of memory anew from here on: a process may train several trials one after the other."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        return
    try:
        # proc(5): 5 sets the high-water mark of resident memory to what is resident now.
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        # Not everywhere allowed: it is then the process's peak since it began.
        return


def peak_memory_bytes() -> int:
    """Return the most bytes at once since `forget_peak_memory`: those of torch's tensors on a GPU, else the process's resident memory."""
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    # Before getrusage's ru_maxrss, which begins with the peak of the process that this one was forked from. Sandboxes have that alone.
    reported = [line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(reported[0] if reported else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * 1024
