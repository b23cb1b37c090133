"""`site`: where a contract test runs, the fake Slurm and the real one in turn."""

from collections.abc import Iterator

import pytest

from tests.slurm.site import Site, fake_site, testbed_site


@pytest.fixture(scope="session", params=["fake", pytest.param("testbed", marks=pytest.mark.slurm)])
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One cluster for all tests of a kind."""
    state = tmp_path_factory.mktemp(request.param)
    with fake_site(state, minute=4, kill_wait=5, grace=2) if request.param == "fake" else testbed_site(state, kill_wait=5) as made:
        yield made


@pytest.fixture
def site(cluster: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """The cluster, idle, with this process's environment pointing at it."""
    for name, value in cluster.environment.items():
        monkeypatch.setenv(name, value)
    yield cluster
    cluster.clear()
