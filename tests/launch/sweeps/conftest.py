"""A fake cluster for the commands of a module."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.launch.sweeps.commands import Commands
from tests.slurm.site import Site, fake_site


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with fake_site(tmp_path_factory.mktemp("fake")) as site:
        yield site


@pytest.fixture
def commands(cluster: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Commands]:
    for name, value in cluster.environment.items():
        monkeypatch.setenv(name, value)
    yield Commands(cluster, tmp_path)
    for node in ("node1", "node2", "node3"):
        cluster.repair(node)
    cluster.clear()


@pytest.fixture
def full(commands: Commands) -> Commands:
    """A cluster on which nothing starts until its nodes are repaired."""
    for node in ("node1", "node2", "node3"):
        commands.site.fail(node)
    return commands
