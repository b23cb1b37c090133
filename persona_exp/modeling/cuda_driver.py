"""The NVIDIA driver of this machine against the CUDA that torch was built for. Imports no torch."""

import ctypes
import re
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

# The builds of torch (make setup TORCH=…) by the driver's major version of CUDA: within one, a driver runs what is newer than itself.
BUILDS = {12: "cu126", 13: "cu130"}
# The first driver of the oldest of them.
OLDEST_DRIVER = "525"


@cache
def driver_cuda() -> str | None:
    """Return the newest CUDA that the driver knows, as `12.4`; None where there is no driver."""
    try:
        library = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    number = ctypes.c_int()
    if library.cuDriverGetVersion(ctypes.byref(number)) or not number.value:
        return None
    return f"{number.value // 1000}.{number.value % 1000 // 10}"


@cache
def torch_cuda() -> str | None:
    """Return the CUDA that torch was built for, as `13.0`, read off its files; None of a build for processors alone."""
    spec = find_spec("torch")
    built = Path(spec.origin).with_name("version.py") if spec and spec.origin else None
    found = re.search(r"^cuda[^=]*= '([\d.]+)'", built.read_text(encoding="utf-8"), re.MULTILINE) if built and built.is_file() else None
    return found[1] if found else None


def driver_fault(driver: str | None, built: str | None) -> tuple[str, str] | None:
    """Return (cause, fix) where torch built for the CUDA `built` computes on no GPU of a driver for `driver`; None where the two fit.

    Both are as `driver_cuda` and `torch_cuda` tell them.
    """
    fitting = BUILDS.get(int(driver.split(".")[0])) if driver else None
    if built is None:
        return f"torch {version('torch')} is built for processors alone", f"make setup TORCH={fitting or 'cu126'} installs a build for GPUs"
    if driver is None:
        return "there is no NVIDIA driver (libcuda.so.1)", "ask the site for a node with one (in a container: start it with --nv)"
    if int(driver.split(".")[0]) >= int(built.split(".")[0]):
        return None
    cause = f"the driver is for CUDA {driver} and torch {version('torch')} is built for CUDA {built}"
    if fitting is None:
        return cause, f"ask the site for a driver of {OLDEST_DRIVER} or newer"
    return cause, f"make setup TORCH={fitting} installs the build that fits, or ask the site for a newer driver"
