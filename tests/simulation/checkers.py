"""What must be true of a simulated cluster, apart from what its clients see (`checking_clients.py`)."""

from collections.abc import Collection, Iterator

from ramsterd.core.codec import PACKED_FILL
from ramsterd.core.page import INDEX_MAX, PoolId, PoolKind
from ramsterd.core.rows import FIRST_ROW
from ramsterd.core.store import Store
from ramsterd.core.table import ZERO
from ramsterd.remote.holders.trust import BadCopy
from ramsterd.remote.send import ephemeral_remotify
from tests.simulation.cluster import Cluster, Node


def entries_of(store: Store, pool: PoolId) -> Iterator[tuple[bytes, int, list[int]]]:
    """Yield what leaves have of a pool: the object, the first index, and the entries from there on."""
    for object_id, page_object in store.pools[pool].objects.items():
        for index, count, leaf in store.table.pieces(page_object, 0, INDEX_MAX):
            if leaf != ZERO:
                yield object_id, index, store.table.entries_of(leaf, index, count).tolist()


def rows_of(store: Store, pool: PoolId) -> dict[tuple[bytes, int], int]:
    """Return the row of each page of a pool that has one."""
    return {
        (object_id, place): row
        for object_id, index, entries in entries_of(store, pool)
        for place, row in enumerate(entries, index)
        if row >= FIRST_ROW
    }


def named(owner: Node, holder: Node) -> set[int]:
    """Return the serials of the owner's rows that name this incarnation of the holder."""
    living = owner.engine.machines.holders.living(holder.number)
    if living is None or living.incarnation != holder.incarnation:
        return set()
    rows = owner.engine.store.rows
    return {rows.serial(row) for row in rows.held_by((living.id,), 0, rows.high)}


def held(owner: Node, holder: Node) -> set[int]:
    """Return the serials of this incarnation of the owner that the holder keeps."""
    theirs = holder.engine.machines.foreign._owners.get(owner.number)
    if theirs is None or theirs.incarnation != owner.incarnation:
        return set()
    store = holder.engine.store
    return {
        serial
        for pool in theirs.pools.values()
        for _, first, entries in entries_of(store, pool)
        for serial, row in enumerate(entries, first)
        if row >= FIRST_ROW
    }


def living_holders(cluster: Cluster, owner: Node, row: int) -> list[int]:
    """Return the holders of a row that live, whether or not the owner knows of a death."""
    holders = [
        owner.engine.machines.holders[holder] for holder in owner.engine.store.rows.holders(row)
    ]
    nodes = cluster.nodes
    return [
        living.id
        for living in holders
        if living.node in nodes and nodes[living.node].incarnation == living.incarnation
    ]


def persistent(owner: Node, serials: set[int]) -> set[int]:
    """Return those of these serials whose rows are of persistent pages."""
    store = owner.engine.store
    if not serials:
        return set()
    return {
        serial
        for row in store.rows.live()
        if (serial := store.rows.serial(row)) in serials
        and store.rows.first_holder(row)
        and store.versions.kind_of(row) is PoolKind.PERSISTENT
    }


def remote_only(
    cluster: Cluster, owner: Node, holder: Node, pool: PoolId | None = None
) -> set[int]:
    """Return the indexes of a pool (or the export) that only this incarnation of the holder has, as the owner believes."""
    living = owner.engine.machines.holders.living(holder.number)
    if living is None or living.incarnation != holder.incarnation:
        return set()
    store = owner.engine.store
    return {
        index
        for (_, index), row in rows_of(store, pool or owner.pool).items()
        if living_holders(cluster, owner, row) == [living.id]
        and not store.rows.location(row)
        and store.rows.packed(row) != PACKED_FILL
    }


def check_step(cluster: Cluster) -> None:
    """Assert what holds after each step: a page that a row names is where the row says; bounds."""
    for node in cluster.nodes.values():
        check_bounds(cluster, node)
    for owner in cluster.nodes.values():
        for holder in cluster.nodes.values():
            if owner is not holder and (asked := named(owner, holder)):
                # An ephemeral page may be gone.
                missing = persistent(owner, asked - held(owner, holder))
                assert not missing, (
                    f"{owner.number} counts on {holder.number} for {sorted(missing)[:9]}"
                )


def check_trust(cluster: Cluster) -> None:
    """Assert that nobody honest is blamed: bits flip, and nothing else makes a copy bad."""
    for owner in cluster.nodes.values():
        for node, trust in owner.engine.statistics().trust.items():
            blamed = (
                trust.bad_copies_total[BadCopy.MISSING] + trust.bad_copies_total[BadCopy.DISOWNED]
            )
            assert not blamed, f"{owner.number} blames {node}, which kept all that it stored"


def check_invariants(cluster: Cluster) -> None:
    """Assert what the engines promise of themselves."""
    for node in cluster.nodes.values():
        node.engine.check_invariants()


def check_bounds(cluster: Cluster, node: Node) -> None:
    """Assert that budget, quota and windows are kept."""
    engine = node.engine
    engine.machines.read_ahead.check_invariants()
    zbud, remote = engine.store.zbud, engine.machines.remote
    assert zbud.resident_bytes <= zbud.budget_bytes or engine.machines.resize.is_shrinking
    foreign = engine.machines.foreign
    # What is here when a budget shrinks stays.
    if zbud.budget_bytes == cluster.budget(node.number):
        assert foreign.zpage_bytes <= zbud.budget_bytes * foreign._bytes_fraction_max
    windows: dict[tuple[str, int], int] = {}
    for put in engine.machines.remotifier.persistent.puts.waited:
        key = "put", put.holder.id
        windows[key] = windows.get(key, 0) + 1
    for put in engine.machines.remotifier.ephemeral.puts.waited:
        key = "ephemeral put", put.holder.id
        windows[key] = windows.get(key, 0) + 1
    for request in engine.machines.fetches._asking._in_flight.values():
        if request.ahead is not None:  # these have a window of their own
            continue
        if not request.is_hedged:  # those wait for a holder that may hang, and make room for others
            key = "get", request.holder
            windows[key] = windows.get(key, 0) + 1
    in_flight_max = {
        "put": remote.puts_in_flight_max,
        "ephemeral put": ephemeral_remotify.IN_FLIGHT_MAX,
        "get": remote.gets_in_flight_max,
    }
    for (kind, _), count in windows.items():
        assert count <= in_flight_max[kind], f"{count} {kind}s under way to one peer"


def check_quiet(node: Node, living: Collection[int]) -> None:
    """Assert that nothing is under way and nobody waits; what the dead are owed may stay so."""
    statistics = node.engine.statistics()
    assert not statistics.fetch.wanted_pages
    assert not statistics.fetch.requests_in_flight
    assert not statistics.remotify.requests_in_flight
    owed = [
        node.engine.machines.holders[holder].node
        for holder in node.engine.machines.flushes.owed.holders()
    ]
    assert not set(owed) & set(living), f"flushes are owed to {owed}"
    assert not node.engine.machines.fetches._asking._queued
    waiting = node.pager.statistics()
    assert not waiting.waiting_gets
    assert not waiting.waiting_puts


def check_books(cluster: Cluster) -> None:
    """Once all is quiet: holders keep just what is asked of them, and owners count it right."""
    check_invariants(cluster)
    for owner in cluster.nodes.values():
        check_quiet(owner, cluster.nodes)
        for holder in cluster.nodes.values():
            if owner is holder:
                continue
            kept, asked = held(owner, holder), named(owner, holder)
            ghosts = asked - kept
            lacking = persistent(owner, ghosts)
            assert kept <= asked, (
                f"{holder.number} keeps {sorted(kept - asked)[:9]} of {owner.number} for nobody"
            )
            assert not lacking, f"{holder.number} lacks {sorted(lacking)[:9]} of {owner.number}"
            assert len(ghosts) <= len(kept) + ephemeral_remotify.GHOSTS_MAX
            living = owner.engine.machines.holders.living(holder.number)
            assert (0 if living is None else living.pages) == len(asked)


def wait_reconciled(cluster: Cluster, number: int = 0) -> None:
    """Run until the rows of a node agree with what each holder keeps."""
    machines = cluster[number].engine.machines
    assert cluster.run_until(
        lambda: all(
            each.is_dead or machines.holders.is_agreed(each.node) for each in machines.holders
        )
    )
