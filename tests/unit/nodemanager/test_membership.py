from dataclasses import replace
from pathlib import Path

import pytest

from config.errors import ConfigError
from config.model import ClusterConfig
from nodemanager.membership import FileMembership, MembershipStore
from tests.helpers.clusters import cluster_of


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


def new_store(says: ClusterConfig) -> tuple[FileMembership, list[ClusterConfig]]:
    written: list[ClusterConfig] = []
    store = FileMembership(
        Path("cluster.toml"),
        loader=lambda _: says,
        rewriter=lambda _, cluster: written.append(cluster),
    )
    return store, written


def test_new_members_are_written_over_those_that_were_read() -> None:
    store, written = new_store(cluster_of(2))
    store.save(cluster_of(3), known=cluster_of(2))
    assert written == [cluster_of(3)]


def test_a_file_that_says_it_already_is_left_alone() -> None:
    store, written = new_store(cluster_of(3))
    store.save(cluster_of(3), known=cluster_of(2))
    assert written == []


def test_a_file_that_was_changed_by_hand_is_not_written() -> None:
    store, written = new_store(cluster_of(4))
    with pytest.raises(ConfigError, match=r"cluster\.toml: found a change made by hand"):
        store.save(cluster_of(3), known=cluster_of(2))
    assert written == []


def test_the_order_of_members_in_the_file_is_its_own_affair() -> None:
    says = replace(cluster_of(2), node=tuple(reversed(cluster_of(2).node)))
    store, written = new_store(says)
    store.save(cluster_of(3), known=cluster_of(2))
    assert written == [cluster_of(3)]
    store.save(cluster_of(2), known=cluster_of(3))
    assert written == [cluster_of(3)], "said already"
