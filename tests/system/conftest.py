"""Clusters of real daemons, closed after each test."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.helpers.requirements import require_namespaces
from tests.system.daemons import Cluster
from tests.system.hosts import move_in
from tests.system.namespaces import Network, network

NewCluster = Callable[..., Cluster]
HOSTS_COUNT = 5
HERE = "tests/system/"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder starts real processes."""
    for item in items:
        if item.nodeid.startswith(HERE):
            item.add_marker(pytest.mark.system)


@pytest.fixture
def sockets() -> Iterator[Path]:
    """Yield a folder whose path is short enough for Unix sockets."""
    with tempfile.TemporaryDirectory(prefix="ram-", dir="/tmp") as folder:
        yield Path(folder)


@pytest.fixture
def new_cluster(tmp_path: Path, sockets: Path) -> Iterator[NewCluster]:
    """Yield `Cluster` without its first two arguments; the cluster is closed and its logs are printed."""
    made: list[Cluster] = []

    def make(**options: object) -> Cluster:
        assert not made, "one cluster a test"
        made.append(Cluster(tmp_path, sockets, **options))  # type: ignore[arg-type]  # handed on
        return made[-1]

    yield make
    for cluster in made:
        try:
            cluster.close()
        finally:
            cluster.print_logs()


@pytest.fixture
def hosts() -> Iterator[Network]:
    """Yield five hosts on a switch; nothing is left of them."""
    require_namespaces()
    with network(HOSTS_COUNT) as made:
        yield made


@pytest.fixture
def new_rack(hosts: Network, new_cluster: NewCluster, tmp_path: Path) -> NewCluster:
    """Return what makes a cluster on five hosts, as `ramsterctl cluster init` sets it up (see `move_in`)."""

    def make(*, budgets: list[str], export: str, remote: str = "") -> Cluster:
        cluster = new_cluster(budgets=budgets)
        move_in(cluster, hosts, tmp_path / "rack", budgets=budgets, export=export, remote=remote)
        return cluster

    return make
