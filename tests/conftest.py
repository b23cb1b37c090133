"""What tests share: composing a config as the command line does, and running the command line itself."""

import copy
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hypothesis import settings
from omegaconf import DictConfig

from persona_exp.config.compose import compose_trial, register_schema
from persona_exp.config.schema import Config
from persona_exp.trial import code_provenance, seal_verification
from persona_exp.trial import code_snapshot as snapshots

ROOT = Path(__file__).parents[1]

# A runner in the background, or under nohup, hands down ignored signals, and tests send these to the processes they start.
for _number, _default in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _default)

# The same examples everywhere, and as long as they take: what is red on one machine is red on all. HYPOTHESIS_PROFILE=search looks for
# others.
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("search", max_examples=1000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

# Test workers share the cores: more threads than cores make every one of them wait.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# A test worker has 80 columns, one test process alone as many as its terminal: a test that is about them says how many.
os.environ.pop("COLUMNS", None)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files first that take longest: a test worker that begins one of them at the end is waited for."""

    def weight(item: pytest.Item) -> float:
        allowed = item.get_closest_marker("timeout")
        return float(allowed.args[0]) if allowed else 10.0 * (item.get_closest_marker("long") is not None)

    of_file: dict[Path, float] = {}
    for item in items:
        of_file[item.path] = of_file.get(item.path, 0.0) + weight(item)
    items.sort(key=lambda item: -of_file[item.path])


@pytest.fixture
def composed() -> Iterator[Callable[..., DictConfig]]:
    """`composed("lora.r=8")`: conf/ as Hydra composes it."""
    register_schema()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        yield lambda *overrides: compose("config", list(overrides))


_configs: dict[tuple[str, ...], Config] = {}


@pytest.fixture
def config(composed: Callable[..., DictConfig]) -> Callable[..., Config]:
    """`config("lora.r=8")`: the checked dataclass. The same overrides are composed once a process, for Hydra takes its time."""

    def checked(*overrides: str) -> Config:
        if overrides not in _configs:
            _configs[overrides] = compose_trial(composed(*overrides))
        return copy.deepcopy(_configs[overrides])

    return checked


@pytest.fixture(scope="session")
def code_copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the code as it is when the tests begin, whoever edits it meanwhile."""
    return snapshots.snapshot(tmp_path_factory.mktemp("code"))


@pytest.fixture
def one_copy_of_the_code(code_copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every runs folder has that copy, and it is what runs here."""

    def snapshot(runs: Path) -> Path:
        folder = runs / "code" / code_copy.name
        folder.parent.mkdir(parents=True, exist_ok=True)
        if not folder.exists():
            folder.symlink_to(code_copy)
        return folder

    monkeypatch.setattr(snapshots, "snapshot", snapshot)
    monkeypatch.setattr(seal_verification, "code_provenance", lambda: code_provenance.code_provenance(code_copy))


def environment(folder: Path) -> dict[str, str]:
    """What the command sees: results below `folder/runs`, one thread a process, no network."""
    kept = {name: value for name, value in os.environ.items() if name != "HYDRA_FULL_ERROR"}
    return {**kept, "PERSONA_EXP_RUNS": str(folder / "runs"), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runs folder that holds the bundled corpus's dataset, the tiny model's tokens of it and the code, made once for all test workers."""
    own = tmp_path_factory.getbasetemp()
    shared = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "made-once"
    with FileLock(f"{shared}.lock"):
        if not (shared / "made").exists():
            shutil.rmtree(shared, ignore_errors=True)
            shared.mkdir()
            few = ("train.max_steps=1", "evaluation.likelihood_items=1", "evaluation.generated_items=0")
            command = [sys.executable, str(ROOT / "run.py"), "model=tiny", *few]
            done = subprocess.run(command, cwd=ROOT, env=environment(shared), capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
            (shared / "made").touch()
    return shared / "runs"


@pytest.fixture
def built(made_once: Path, tmp_path: Path) -> Path:
    """`tmp_path/runs` with a copy of what building that dataset leaves, for tests of what comes after."""
    for name in ("data", "code"):
        shutil.copytree(made_once / name, tmp_path / "runs" / name)
    return tmp_path / "runs"


@pytest.fixture
def run_py(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`run_py("-m", "lora.r=8,16")`: the command itself, its results below `tmp_path/runs`."""

    def run(*arguments: str, timeout: float = 580) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(ROOT / "run.py"), *arguments]
        return subprocess.run(
            command,
            cwd=ROOT,
            env=environment(tmp_path),
            capture_output=True,
            text=True,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
            check=False,
        )

    return run
