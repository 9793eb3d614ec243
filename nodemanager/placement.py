"""Which node takes the next block.  A pure choice over candidates; it remembers nothing.

Known weakness: free bytes are as old as a node's last STATUS, so all that is placed between two of them goes
to the node that looked emptiest.  Power of two choices will spread that; `rng` is in the signature for it.
"""

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from nodemanager.ids import NodeId
from nodemanager.states import NodeState, may_place


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """What placement needs to know of one peer."""

    node: NodeId
    state: NodeState
    is_linked: bool
    is_accepting: bool
    free_bytes: int
    # Monotonic seconds until which the node, having refused, is left alone; 0 when it did not refuse.
    refused_until: float = 0.0
    zone: str = ""
    # An operator wants it to get no new pages.
    is_cordoned: bool = False

    def has_room(self, zpage_bytes: int, *, now: float) -> bool:
        """Whether this node may be asked to take so many bytes now."""
        return (
            may_place(self.state)
            and self.is_linked
            and self.is_accepting
            and not self.is_cordoned
            and now >= self.refused_until
            and self.free_bytes >= zpage_bytes
        )


def choose_holder(
    candidates: Sequence[Candidate],
    zpage_bytes: int,
    *,
    now: float,
    rng: random.Random,
    exclude: Collection[NodeId] = (),
    our_zone: str = "",
) -> NodeId | None:
    """Return the node that should take `zpage_bytes`, or None when nobody can.

    Other zones come first, so that one failure does not take a page and its copy; then the node with the most
    free bytes; `rng` decides between equals, so that owners that see the same figures do not all choose alike.

    Args:
        candidates: All peers, in any state.
        zpage_bytes: Bytes of the zpages that go together (a whole block), more than 0.
        now: Monotonic seconds.
        rng: Settles ties.
        exclude: Nodes that hold a copy already, or have just refused this block.
        our_zone: The zone of the owner; empty when zones are not in use.
    """
    assert zpage_bytes > 0
    able = [
        each
        for each in candidates
        if each.node not in exclude and each.has_room(zpage_bytes, now=now)
    ]
    if not able:
        return None
    best = max(_rank(each, our_zone) for each in able)
    return rng.choice([each.node for each in able if _rank(each, our_zone) == best])


def _rank(candidate: Candidate, our_zone: str) -> tuple[bool, int]:
    """Order candidates; a node without a zone counts as being in ours, for nothing says otherwise."""
    is_elsewhere = bool(our_zone) and bool(candidate.zone) and candidate.zone != our_zone
    return is_elsewhere, candidate.free_bytes
