"""Kept pages: the store that the page path begins with, and what goes with it if an earlier process had it.

The store is whole, and says itself which pools are of other nodes.  What the holder ids in its rows
mean, and how many rows name each, the attach has read (`ramsterd.kept`).
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from nodemanager.ids import Incarnation
from ramsterd.core.store import Store
from ramsterd.kept.names import KeptHolder
from ramsterd.remote.holders.holders import HolderJournal


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptPages:
    """See the module's text."""

    store: Store
    # How many processes of this incarnation were before this one, whose memory is ours.
    attach_count: int = 0
    holders: Collection[KeptHolder] = ()
    # How many rows name each holder, by its id; none: nobody names it.
    holder_pages: Mapping[int, int] = field(default_factory=dict)
    # The rows of ephemeral pages that only a holder has.
    ephemeral_rows: Collection[int] = ()
    # Is told what holder ids mean from now on.
    holder_journal: HolderJournal | None = None
    # Is told of each later incarnation of this node, before anybody else.
    note_incarnation: Callable[[Incarnation], None] = lambda _: None
