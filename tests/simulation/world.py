"""What is really in the memory of the nodes: pages told by their bytes, not by what any table says of them.

Each page of a client carries its node, index and version (`make_page`), so a reader of the arenas knows which
copies there are.  From that follows what a fault may cost: a page is *losable* from the moment when a fault destroys
the last copy that its owner can still ask for.  And it follows what was promised: a page that is not at its owner
was given away only when as many peers as it must have had it, so its copies and those that faults destroyed are as many.
Those with fewer than asked are counted, for their owner must know of each.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

from ramsterd.core.block_columns import BlockState
from ramsterd.core.codec import decode_page, zpage_bytes
from ramsterd.core.page import CorruptPage, PoolId, PoolKind
from ramsterd.core.size_classes import SLOT_SHIFT
from ramsterd.core.store import Store
from tests.simulation.checkers import rows_of
from tests.simulation.cluster import Cluster, Node
from tests.simulation.pages import CACHE, OBJECT, Identity, identify

if TYPE_CHECKING:
    from tests.simulation.checking_clients import Client

# A page as it lies in an arena: how it is packed, and its bytes.
Zpage: TypeAlias = tuple[int, bytes]
# The rows of a pool: `checkers.rows_of`.
Rows: TypeAlias = dict[tuple[bytes, int], int]
KNOWN_MAX: Final = 20_000


@dataclass(slots=True)
class World:
    """All arenas of a cluster, and what faults destroyed in them."""

    cluster: Cluster
    # How many copies of a page faults have destroyed since it last had enough.
    destroyed: Counter[Identity] = field(default_factory=Counter)
    _known: dict[Zpage, Identity | None] = field(default_factory=dict)

    def copies(self) -> dict[Identity, set[int]]:
        """Return which nodes have an undamaged copy of each persistent page of an owner that lives."""
        copies: dict[Identity, set[int]] = {}
        for number, node in self.cluster.nodes.items():
            for _, identity in self._read(node.engine.store, node.pool):
                copies.setdefault(identity, set()).add(number)
            for owner, pool in self._foreign(node):
                for _, identity in self._read(node.engine.store, pool):
                    if identity[0] == owner:
                        copies.setdefault(identity, set()).add(number)
        return copies

    def rows_at(self, holder: int, owner: int) -> list[tuple[int, Identity]]:
        """Return the rows of undamaged pages that a holder keeps for the present incarnation of an owner."""
        node = self.cluster[holder]
        return [
            found
            for number, pool in self._foreign(node)
            if number == owner
            for found in self._read(node.engine.store, pool)
        ]

    def _foreign(self, node: Node) -> Iterator[tuple[int, PoolId]]:
        for owner, theirs in node.engine.machines.foreign._owners.items():
            alive = self.cluster.nodes.get(owner)
            if alive is not None and alive.incarnation == theirs.incarnation:
                yield owner, theirs.pools[PoolKind.PERSISTENT]

    def _read(self, store: Store, pool: PoolId) -> Iterator[tuple[int, Identity]]:
        """Yield each row of a pool whose bytes are here and undamaged, with what they are."""
        for row in rows_of(store, pool).values():
            if location := store.rows.location(row):
                packed, offset = store.rows.packed(row), store.zbud.offset(location)
                zpage = bytes(store.zbud.arena[offset : offset + zpage_bytes(packed)])
                identity = self._identify(packed, zpage, store.rows.checksum(row))
                if identity is not None:
                    yield row, identity

    def _identify(self, packed: int, zpage: bytes, checksum: int) -> Identity | None:
        if len(self._known) > KNOWN_MAX:
            self._known.clear()
        if (packed, zpage) not in self._known:
            try:
                identity = identify(decode_page(packed, zpage, checksum))
            except CorruptPage:
                identity = None
            self._known[packed, zpage] = identity
        return self._known[packed, zpage]

    # What faults cost.

    def only_at(self, client: "Client", holder: int) -> set[int]:
        """Return the indexes whose last copy that counts is at a holder."""
        copies, rows = self.copies(), rows_of(client.node.engine.store, client.node.pool)
        return {
            index
            for index, identity in versions(client)
            if self._counting(client, rows, index, copies.get(identity, set())) == {holder}
        }

    @contextmanager
    def destroying(self, clients: "list[Client]") -> Iterator[None]:
        """Note what a fault inside destroys, and which pages these clients may find lost from then on."""
        before = self.copies()
        yield
        after = self.copies()
        for client in clients:
            if self.cluster.nodes.get(client.node.number) is not client.node:
                continue  # it died with its node
            rows = rows_of(client.node.engine.store, client.node.pool)
            for index, identity in versions(client):
                had, has = before.get(identity, set()), after.get(identity, set())
                self.destroyed[identity] += len(had - has)
                if had - has and not self._counting(
                    client, rows, index, has - self._clean(client, rows, index)
                ):
                    client.expect_loss({index})

    def _clean(self, client: "Client", rows: Rows, index: int) -> set[int]:
        """Return the owner if its copy may be dropped: it does so until it hears that the holders are dead."""
        owner, row = client.node, rows.get((OBJECT, index), 0)
        return {owner.number} if row and owner.engine.store.rows.holders(row) else set()

    def _counting(self, client: "Client", rows: Rows, index: int, at: set[int]) -> set[int]:
        """Return those copies that the owner can still ask for: it may have given up the others on purpose."""
        owner, row = client.node, rows.get((OBJECT, index), 0) if at else 0
        return at & {owner.number, *named_by(owner, row)}

    def check(self, clients: "list[Client]") -> int:
        """Assert that no page left its owner for fewer peers than asked; return how many are at fewer now."""
        copies, at_risk = self.copies(), 0
        for client in clients:
            store = client.node.engine.store
            rows = rows_of(store, client.pool)
            for index, identity in versions(client):
                row, at = rows.get((OBJECT, index), 0), copies.get(identity, set())
                at = at & {client.number, *named_by(client.node, row)}
                is_sure = client.values(index) == {identity[2]}
                is_here = row and (client.number in at or store.rows.location(row))
                is_ours_alone = is_here and not store.rows.holders(row)
                if not row or not is_sure or (is_ours_alone and not is_leaving(store, row)):
                    self.destroyed.pop(identity, None)
                if not row or not is_sure or is_here:
                    # A clean copy may go again before its owner hears which of its holders died.
                    continue
                pool = store.versions.pool_of(row)
                asked, fewest = pool.copies, pool.fewest_copies
                assert len(at) + self.destroyed[identity] >= fewest, (
                    f"page {index} of node {client.number} is at {sorted(at)} only, of {fewest} copies"
                )
                if len(at) >= asked:
                    self.destroyed.pop(identity, None)
                else:
                    at_risk += 1
        return at_risk


def is_leaving(store: Store, row: int) -> bool:
    """Whether a page is on its way to peers: one that has it may die before its answer is heard."""
    location = store.rows.location(row)
    return bool(location) and store.zbud.state[location >> SLOT_SHIFT] == BlockState.LEAVING


def named_by(owner: Node, row: int) -> set[int]:
    """Return the nodes that have a page as its owner believes: others may be owed a flush of it."""
    holders = [
        owner.engine.machines.holders[holder] for holder in owner.engine.store.rows.holders(row)
    ]
    return {each.node for each in holders if not each.is_dead}


def versions(client: "Client") -> Iterator[tuple[int, Identity]]:
    """Yield each version that a get of a client may see now."""
    if client.is_cache or client.hides_refused:
        return
    for index in client.possible:
        for version in sorted(client.values(index)):
            if version > 0:
                yield index, (client.number + CACHE * client.is_cache, index, version)
