"""Joules, from a made tree of the kernel's counters, and from a made library in the place of the driver's."""

import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from persona_exp.trial.energy_counters import Energy, device_energy, gpu_registers, processor_registers

UUID = "0a1b2c3d-0000-1111-2222-333344445555"

# The driver's library, as its header declares it. A joule a call on the one card that there is; the fifth call fails.
LIBRARY = f"""
#include <string.h>
static int calls, begun, card;
int nvmlInit_v2(void) {{ begun = 1; return 0; }}
int nvmlDeviceGetHandleByUUID(const char *uuid, void **device) {{
    *device = &card;
    return begun && !strcmp(uuid, "GPU-{UUID}") ? 0 : 6;
}}
int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *energy) {{
    *energy = 10000000000000ULL + 1000 * ++calls;
    return device == &card && calls < 5 ? 0 : 3;
}}
"""


def zone(folder: Path, name: str, count: int, most: int = 1_000_000_000) -> Path:
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{name}\n")
    (folder / "max_energy_range_uj").write_text(f"{most}\n")
    (folder / "energy_uj").write_text(f"{count}\n")
    return folder / "energy_uj"


@pytest.fixture
def machine(tmp_path: Path) -> dict[str, Path]:
    """Two packages, the first with a zone for its cores and one for memory, and all that counts the same once more."""
    zones = {"intel-rapl:0": "package-0", "intel-rapl:0:0": "core", "intel-rapl:0:1": "dram", "intel-rapl:1": "package-1"}
    zones |= {"intel-rapl:2": "psys", "intel-rapl-mmio:0": "package-0"}
    made = {folder: zone(tmp_path / folder, name, 5_000_000) for folder, name in zones.items()}
    (tmp_path / "intel-rapl").mkdir()
    return made


@pytest.fixture
def library(tmp_path: Path) -> str:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    source, made = tmp_path / "nvml.c", tmp_path / "libnvml.so"
    source.write_text(LIBRARY)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", made, source], check=True)
    return str(made)


def test_each_joule_of_the_processors_counts_once(machine, tmp_path):
    energy = Energy(processor_registers(tmp_path))
    assert energy.joules() == 0
    for count in (6_000_000, 9_500_000):
        for register in machine.values():
            register.write_text(f"{count}\n")
    # 4.5 J each: two packages and the memory.
    assert energy.joules() == pytest.approx(13.5)


def test_a_counter_that_begins_anew_goes_on(tmp_path):
    register = zone(tmp_path / "intel-rapl:0", "package-0", 90_000_000, most=100_000_000)
    energy = Energy(processor_registers(tmp_path))
    told = []
    for count in (99_000_000, 4_000_000, 50_000_000, 49_000_000):
        register.write_text(f"{count}\n")
        told.append(energy.joules())
    assert told == pytest.approx([9, 14, 60, 159])


def test_counters_that_are_root_s_alone_or_not_there_tell_nothing(machine, tmp_path):
    assert Energy(processor_registers(tmp_path / "nowhere")).joules() is None
    # As what a process may not read: a part of the energy would pass for the whole.
    machine["intel-rapl:1"].unlink()
    assert processor_registers(tmp_path) == []


def test_what_was_lost_on_the_way_is_not_made_up(machine, tmp_path):
    energy = Energy(processor_registers(tmp_path))
    assert energy.joules() == 0
    content = machine["intel-rapl:1"].read_text()
    machine["intel-rapl:1"].unlink()
    assert energy.joules() is None
    machine["intel-rapl:1"].write_text(content)
    assert energy.joules() is None


def test_a_gpu_is_asked_for_by_its_number(library):
    energy = Energy(gpu_registers(UUID, library))
    # The library's first call found out whether it counts at all, the second was the beginning.
    assert [energy.joules(), energy.joules()] == pytest.approx([1, 2])
    assert energy.joules() is None
    assert gpu_registers(UUID.replace("a", "b"), library) == []


def test_without_the_driver_s_library_nothing_is_told(tmp_path):
    assert gpu_registers(UUID, str(tmp_path / "none.so")) == []
    assert gpu_registers(UUID, "libc.so.6") == []


def test_here():
    """On whatever machine the tests run: a count that does not go down, or none."""
    energy = device_energy()
    first = energy.joules()
    torch.ones(512, 512) @ torch.ones(512, 512)
    second = energy.joules()
    assert (first is None and second is None) or 0 <= first <= second
