"""Holder ids: one small number for each incarnation of a node that holds pages of ours.

A row names its holders by these ids.  When a node starts again its old id is dead: every row that
names it is known to be lost from that moment, before any sweep has reached it.  An id is used again
only after the sweep.

So a node whose incarnations end faster than sweeps go, by restarts or by what it says, uses up ids.
Each node has `INCARNATIONS_MAX` of them, and all nodes together have no more than there are: one
that has used up its own gets no pages until a sweep has freed one, and no other node is the worse
for it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol

from config.limits import NODE_NUMBER_MAX
from nodemanager.ids import Incarnation, NodeId

# A row has 16 bits for each holder (core.rows).
HOLDERS_MAX: Final = 0xFFFF
# Incarnations of one node that rows may name at the same time.
INCARNATIONS_MAX: Final = HOLDERS_MAX // (NODE_NUMBER_MAX + 1)
# No process has that attach count.
NEVER: Final = -1


@dataclass(slots=True)
class Holder:
    """One incarnation of a node, as a keeper of our pages."""

    id: int
    node: NodeId
    incarnation: Incarnation
    is_dead: bool = False
    # The attach count that its node had when our rows and what it keeps agreed; NEVER: not yet, for
    # this process of ours found the id in kept memory.
    agreed_at: int = NEVER
    # Whether its link was lost, and no sweep has looked yet which pages that puts at risk.
    is_unswept: bool = False
    # Whether its link was lost a moment ago: it may be back at once, with all that it kept
    # (row_sweeps).
    is_awaited: bool = False
    # Whether it is alive, and says that it holds none of the pages that it stored.
    is_disowning: bool = False
    _pages: int = field(default=0, init=False)

    @property
    def pages(self) -> int:
        """How many pages of ours it keeps.

        Those that it is owed a flush for, or was sent one, are not counted.
        """
        return self._pages

    def on_pages_kept(self, pages: int) -> None:
        """It keeps so many pages more."""
        self._pages += pages

    def on_pages_gone(self, pages: int) -> None:
        """It keeps so many pages less: it never had them, or is to drop them."""
        self._pages -= pages


class HolderJournal(Protocol):
    """Notes, for the next process, what the holder ids in kept rows mean."""

    def on_holder_known(self, holder: int, node: NodeId, incarnation: Incarnation) -> None:
        """Rows may name this id from now on."""
        ...

    def on_holder_ended(self, holder: int) -> None:
        """It keeps nothing of ours any more, though rows name it until they are swept."""
        ...

    def on_holder_forgotten(self, holder: int) -> None:
        """No row names it any more: the id may be used again."""
        ...


class NoHolderJournal:
    """There is no next process."""

    def on_holder_known(self, holder: int, node: NodeId, incarnation: Incarnation) -> None:
        """Note nothing."""

    def on_holder_ended(self, holder: int) -> None:
        """Note nothing."""

    def on_holder_forgotten(self, holder: int) -> None:
        """Note nothing."""


class Holders:
    """All holder ids in use."""

    def __init__(self, journal: HolderJournal | None = None) -> None:
        self._journal = journal or NoHolderJournal()
        self._by_id: dict[int, Holder] = {}
        self._living: dict[NodeId, Holder] = {}
        # How many ids each node uses, the dead ones too.
        self._incarnations: dict[NodeId, int] = {}
        # Of the process behind the present or last link of each node.
        self._attach_counts: dict[NodeId, int] = {}
        self._last = 0

    def __getitem__(self, holder: int) -> Holder:
        return self._by_id[holder]

    def get(self, holder: int) -> Holder | None:
        """Return an incarnation, or None if it is forgotten."""
        return self._by_id.get(holder)

    def end(self, node: NodeId) -> Holder:
        """The present incarnation of a node holds nothing of ours any more, though it is alive: it counts as ended."""
        ended = self._living.pop(node)
        self._end(ended)
        return ended

    def _end(self, holder: Holder) -> None:
        holder.is_dead = True
        self._journal.on_holder_ended(holder.id)

    def adopt(
        self, holder_id: int, node: NodeId, incarnation: Incarnation, *, is_dead: bool, pages: int
    ) -> Holder:
        """Know an id that kept rows name; a dead one is to be swept for."""
        assert holder_id not in self._by_id
        holder = Holder(holder_id, node, incarnation, is_dead=is_dead)
        holder.on_pages_kept(pages)
        self._by_id[holder_id] = holder
        self._incarnations[node] = self._incarnations.get(node, 0) + 1
        if not is_dead:
            assert node not in self._living, "one incarnation of a node lives"
            self._living[node] = holder
        self._last = max(self._last, holder_id)
        return holder

    def __iter__(self) -> Iterator[Holder]:
        return iter(self._by_id.values())

    def living(self, node: NodeId) -> Holder | None:
        """Return the present incarnation of a node, or None if it holds nothing of ours."""
        return self._living.get(node)

    def has_id_for(self, node: NodeId) -> bool:
        """Whether the present incarnation of a node has an id, or can have one."""
        return node in self._living or self.has_free_id(node)

    def has_free_id(self, node: NodeId) -> bool:
        """Whether another incarnation of a node can have an id."""
        return self._incarnations.get(node, 0) < INCARNATIONS_MAX

    # Whether we know what it keeps.

    def on_link_up(self, node: NodeId, attach_count: int) -> None:
        """Note which process of a node's incarnation is linked now."""
        self._attach_counts[node] = attach_count

    def attach_count(self, node: NodeId) -> int:
        """Return which process of its incarnation was linked last; NEVER: none was."""
        return self._attach_counts.get(node, NEVER)

    def is_agreed(self, node: NodeId) -> bool:
        """Whether our rows and what a linked node keeps agree.

        If not, one of the two was attached since they did.
        """
        present = self._living.get(node)
        return present is None or present.agreed_at == self.attach_count(node)

    def of(self, node: NodeId, incarnation: Incarnation) -> Holder:
        """Return the present incarnation of a node, made known if it was not.

        `has_id_for` says whether that can be.
        """
        present = self._living.get(node)
        if present is not None:
            assert present.incarnation == incarnation, "the old incarnation ends first: bury()"
            return present
        assert self.has_free_id(node), "placement asks has_id_for() first"
        # It has nothing of ours, so there is nothing to agree on.
        holder = Holder(self._free_id(), node, incarnation, agreed_at=self.attach_count(node))
        self._journal.on_holder_known(holder.id, node, incarnation)
        self._incarnations[node] = self._incarnations.get(node, 0) + 1
        self._by_id[holder.id] = holder
        self._living[node] = holder
        return holder

    def bury(self, node: NodeId, incarnation: Incarnation) -> Holder | None:
        """A node has a new incarnation: return the incarnation that ended, if it held pages."""
        present = self._living.get(node)
        if present is None or present.incarnation == incarnation:
            return None
        del self._living[node]
        self._end(present)
        return present

    def forget(self, holder: Holder) -> None:
        """The sweep is over: no row names this incarnation any more."""
        assert holder.is_dead
        self._journal.on_holder_forgotten(holder.id)
        del self._by_id[holder.id]
        self._incarnations[holder.node] -= 1
        if not self._incarnations[holder.node]:
            del self._incarnations[holder.node]

    def _free_id(self) -> int:
        while True:
            self._last = self._last % HOLDERS_MAX + 1
            if self._last not in self._by_id:
                return self._last
