"""Unreachable: which exports and pools wait for nodes that can't be reached, as operators see it.  Pure."""

from ramsterd.frontends.pager.waiting import Waiting
from ramsterd.pagepath.engine import Engine
from ramsterd.remote.fetch.unreachable import UnreachableReads
from ramsterd.remote.fetch.unreachable_wait import UnreachableWait


def unreachable_waits(engine: Engine, waiting: Waiting, now: float) -> tuple[UnreachableWait, ...]:
    """Return what waits now."""
    reads, writes = engine.machines.fetches.unreachable_reads(), waiting.unreachable_writes()
    away = set(engine.machines.reach.peers_away()) if writes else set()
    waits = []
    for pool in sorted({*reads, *writes}):
        if pool not in engine.store.pools:
            continue
        identity = engine.store.pools[pool].identity
        found = reads.get(pool, UnreachableReads())
        since = [found.asked_at] if found.gets else []
        if pool in writes:
            since.append(writes[pool][1])
        nodes = found.nodes | (away if pool in writes else set())
        waits.append(
            UnreachableWait(
                pool=identity.label,
                is_export=identity.is_disk,
                nodes=tuple(engine.nodes.name(node) for node in sorted(nodes)),
                reads=len(found.gets),
                writes=writes[pool][0] if pool in writes else 0,
                seconds=max(0.0, now - min(since)),
            )
        )
    return tuple(waits)
