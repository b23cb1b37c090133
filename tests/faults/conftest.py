"""A cluster for the session, and what a sweep's adapters are when nothing interrupts it."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.cluster import Cluster, missing
from tests.faults.sweep import Sweep


@pytest.fixture(scope="session")
def testbed() -> Iterator[Cluster]:
    reason = missing()
    if reason:
        pytest.skip(reason)
    # A socket's path may be 107 characters long: pytest's own folders are too deep.
    folder = Path(tempfile.mkdtemp(prefix="faults-", dir="/tmp"))
    cluster = Cluster(folder / "run")
    try:
        cluster.script("start")
        yield cluster
    finally:
        cluster.script("clean")
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def cluster(testbed: Cluster) -> Iterator[Cluster]:
    """All well before the test, and made well after it."""
    testbed.restore()
    yield testbed
    testbed.restore()


@pytest.fixture(scope="session")
def expected(testbed: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Callable[[tuple[str, ...]], dict[str, str]]:
    """`expected(arguments)`: SHA-256 of the adapters that these arguments of run.py give without a cluster, by trial."""
    known: dict[tuple[str, ...], dict[str, str]] = {}

    def adapters(arguments: tuple[str, ...]) -> dict[str, str]:
        if arguments not in known:
            whole = Sweep(testbed, tmp_path_factory.mktemp("whole"), arguments)
            whole.here()
            known[arguments] = whole.adapters()
        return known[arguments]

    return adapters


@pytest.fixture
def sweep(cluster: Cluster, tmp_path: Path) -> Iterator[Callable[..., Sweep]]:
    """`sweep(ONE)`: a sweep of one's own; its launchers are gone when the test ends."""
    made: list[Sweep] = []

    def make(arguments: tuple[str, ...], **options: object) -> Sweep:
        made.append(Sweep(cluster, tmp_path / f"sweep-{len(made)}", arguments, **options))
        return made[-1]

    yield make
    for one in made:
        one.kill()
