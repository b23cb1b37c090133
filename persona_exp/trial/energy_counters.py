"""The energy that the device takes, in joules, where its driver tells.

Of a GPU, NVIDIA's management library counts it (nvmlDeviceGetTotalEnergyConsumption, in millijoules since the driver was loaded, from Volta
on): the whole card's, of all its users. Of processors, the kernel's power capping (RAPL) does, in microjoules: the whole packages' and
their memory's, of all users. Most sites let only root read that.
"""

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

NVML = "libnvidia-ml.so.1"
POWERCAP = Path("/sys/class/powercap")


@dataclass(frozen=True)
class Register:
    """A count of joules that only grows: `read` raises OSError where it cannot be read; after `wraps_at` joules it begins anew."""

    read: Callable[[], float]
    wraps_at: float | None = None


class Energy:
    """The joules that all `registers` have counted since this was made.

    Ask more often than a register wraps: a processor's do so after some minutes at full load, so once a step.
    """

    def __init__(self, registers: Sequence[Register]) -> None:
        self._registers = list(registers)
        self._total = 0.0
        self._last = self._read()

    def joules(self) -> float | None:
        """None where nothing is counted, or something cannot be read any more."""
        now = self._read()
        if not self._last or len(now) != len(self._last):
            # A gap cannot be filled: from here on nothing is known.
            self._last = []
            return None
        for register, before, after in zip(self._registers, self._last, now, strict=True):
            self._total += after - before + (register.wraps_at or 0.0) * (after < before)
        self._last = now
        return self._total

    def _read(self) -> list[float]:
        try:
            return [register.read() for register in self._registers]
        except OSError:
            return []


def device_energy() -> Energy:
    """Return that of the GPU that torch computes on, where it sees one; else of the processors."""
    import torch

    if not torch.cuda.is_available():
        return Energy(processor_registers())
    # By its own number: CUDA_VISIBLE_DEVICES and Slurm's cgroups give torch another order than the driver's.
    uuid = getattr(torch.cuda.get_device_properties(torch.cuda.current_device()), "uuid", None)
    return Energy(gpu_registers(str(uuid)) if uuid else [])


def gpu_registers(uuid: str, library: str = NVML) -> list[Register]:
    """Return the counter of the NVIDIA GPU `uuid`, as torch gives it; none where the driver does not count: other makes, a MIG slice."""
    # The driver's own numbers begin with what they are of.
    name = f"GPU-{uuid.removeprefix('GPU-')}".encode()
    try:
        nvml = ctypes.CDLL(library)
        device = ctypes.c_void_p()
        known = nvml.nvmlInit_v2() == 0 and nvml.nvmlDeviceGetHandleByUUID(name, ctypes.byref(device)) == 0
        ask = nvml.nvmlDeviceGetTotalEnergyConsumption
    except (OSError, AttributeError):
        return []

    def read() -> float:
        millijoules = ctypes.c_ulonglong()
        code = ask(device, ctypes.byref(millijoules))
        if code:
            raise OSError(code, "The driver does not tell the energy.")
        return millijoules.value / 1e3

    return _readable([Register(read)] if known else [])


def processor_registers(folder: Path = POWERCAP) -> list[Register]:
    """Return the counters of the processors' packages and of the memory beside them; none where there are none, or they are root's alone.

    A package holds its zones `core` and `uncore`; `psys`, where there is one, is the whole machine and holds the packages; zones of other
    drivers (intel-rapl-mmio) count the same package once more.
    """
    zones = sorted(zone for zone in folder.glob("intel-rapl:*") if _name(zone).startswith(("package", "dram")))
    return _readable([register for zone in zones for register in _zone(zone)])


def _zone(zone: Path) -> list[Register]:
    try:
        wraps_at = int((zone / "max_energy_range_uj").read_text()) / 1e6
    except (OSError, ValueError):
        return []
    return [Register(lambda: int((zone / "energy_uj").read_text()) / 1e6, wraps_at)]


def _name(zone: Path) -> str:
    try:
        return (zone / "name").read_text().strip()
    except OSError:
        return ""


def _readable(registers: list[Register]) -> list[Register]:
    """Return all of them, or none where one cannot be read: a part of the energy would pass for the whole."""
    try:
        for register in registers:
            register.read()
    except OSError:
        return []
    return registers
