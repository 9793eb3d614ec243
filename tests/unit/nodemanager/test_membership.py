from pathlib import Path

import pytest

from config.errors import ConfigError
from config.model import ClusterConfig
from nodemanager.membership import FileMembership, MembershipStore
from tests.unit.nodemanager.clusters import cluster_of


def never(path: Path, cluster: ClusterConfig) -> None:
    raise AssertionError(path)


def test_file_membership_loads_its_file() -> None:
    read: list[Path] = []

    def loader(path: Path) -> ClusterConfig:
        read.append(path)
        return cluster_of(2)

    store: MembershipStore = FileMembership(Path("cluster.toml"), loader=loader, rewriter=never)
    assert store.load() == cluster_of(2)
    assert read == [Path("cluster.toml")]


def test_a_mistake_in_the_file_is_told_as_the_loader_tells_it() -> None:
    def loader(path: Path) -> ClusterConfig:
        raise ConfigError(str(path), "name", "nothing", "a name")

    with pytest.raises(ConfigError) as caught:
        FileMembership(Path("cluster.toml"), loader=loader, rewriter=never).load()
    assert str(caught.value) == "cluster.toml: name: found nothing, expected a name"
