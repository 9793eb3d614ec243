"""Kept pages: what an attach hands to the page path, so that it goes on with the pages of the process before.

The store is whole, and says itself which pools are of other nodes.  What the holder ids in its rows mean, and how many
rows name each, the attach has read (`ramsterd.kept`).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from ramsterd.core.store import Store
from ramsterd.kept.names import KeptHolder


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptPages:
    """See the module's text."""

    store: Store
    holders: Collection[KeptHolder]
    # How many rows name each holder, by its id; none: nobody names it.
    holder_pages: Mapping[int, int]
    # The rows of ephemeral pages that only a holder has.
    ephemeral_rows: Collection[int] = ()
