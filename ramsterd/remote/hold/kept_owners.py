"""Whose pages a store has from an earlier process: the pools of owners, and those that are to be dropped.

Each incarnation of an owner has two pools, made one after the other before the first page, and
ended one after the other before the last.  So if one of the two is missing or ended, the owner has
nothing here that it can ask for.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from nodemanager.ids import Incarnation, NodeId
from ramsterd.core.page import PoolId, PoolKind
from ramsterd.core.pools import Pool


@dataclass(frozen=True, slots=True)
class KeptOwner:
    """One incarnation of an owner, with both pools."""

    node: NodeId
    incarnation: Incarnation
    pools: dict[PoolKind, PoolId]


def kept_owners(pools: Iterable[Pool]) -> tuple[list[KeptOwner], list[PoolId]]:
    """Return the owners that go on, at most one incarnation of a node, and the foreign pools that are to be dropped."""
    foreign = [pool for pool in pools if pool.identity.is_foreign]
    found: dict[tuple[int, int], dict[PoolKind, PoolId]] = {}
    for pool in foreign:
        if not pool.is_ended:
            key = pool.identity.node, pool.identity.incarnation
            found.setdefault(key, {})[pool.kind] = pool.pool
    newest: dict[int, KeptOwner] = {}
    for (node, incarnation), theirs in sorted(found.items(), key=lambda each: each[0]):
        if set(theirs) == set(PoolKind):
            in_order = {kind: theirs[kind] for kind in PoolKind}
            newest[node] = KeptOwner(NodeId(node), Incarnation(incarnation), in_order)
    owners = list(newest.values())
    kept = {pool for owner in owners for pool in owner.pools.values()}
    return owners, [pool.pool for pool in foreign if pool.pool not in kept]
