"""Which owners go on after an attach, and which pools are to be dropped."""

from ramsterd.core.page import PoolId, PoolKind
from ramsterd.core.pool_identity import export_pool, owner_pool
from ramsterd.core.pools import Pools
from ramsterd.remote.hold.kept_owners import KeptOwner, kept_owners


class Kept:
    """Pools that an earlier process left."""

    def __init__(self) -> None:
        self.pools = Pools()
        self.pools.new(PoolKind.PERSISTENT, export_pool("disk"))

    def add(self, node: int, incarnation: int, *kinds: PoolKind) -> dict[PoolKind, PoolId]:
        identity = owner_pool(node, incarnation)
        return {kind: self.pools.new(kind, identity).pool for kind in kinds or PoolKind}

    def found(self) -> tuple[dict[int, KeptOwner], set[PoolId]]:
        owners, to_drop = kept_owners(self.pools)
        assert len(to_drop) == len(set(to_drop))
        return {owner.node: owner for owner in owners}, set(to_drop)


def test_each_owner_goes_on_with_its_two_pools() -> None:
    kept = Kept()
    one, two = kept.add(1, 100), kept.add(2, 50)
    owners, to_drop = kept.found()
    assert {node: (each.incarnation, each.pools) for node, each in owners.items()} == {
        1: (100, one),
        2: (50, two),
    }
    assert list(owners[1].pools) == list(PoolKind)
    assert to_drop == set()


def test_only_the_newest_incarnation_of_an_owner_goes_on() -> None:
    kept = Kept()
    new, old = kept.add(1, 200), kept.add(1, 100)
    owners, to_drop = kept.found()
    assert owners[1].pools == new
    assert to_drop == set(old.values())


def test_what_was_being_made_or_dropped_is_dropped() -> None:
    kept = Kept()
    half_made = kept.add(1, 100, PoolKind.PERSISTENT)
    half_ended, ended = kept.add(2, 100), kept.add(3, 100)
    for pool in (half_ended[PoolKind.PERSISTENT], *ended.values()):
        kept.pools.end(pool)
    owners, to_drop = kept.found()
    assert owners == {}
    assert to_drop == {*half_made.values(), *half_ended.values(), *ended.values()}


def test_pools_of_our_own_are_nobodys() -> None:
    assert Kept().found() == ({}, set())
