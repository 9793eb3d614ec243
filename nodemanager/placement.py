"""Which nodes take the next block.  A pure choice over candidates; it remembers nothing."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from nodemanager.ids import NodeId
from nodemanager.states import NodeState, may_place

# A node whose arena is fuller than that, well above the default high watermark, fills faster than
# it empties.  Below it pressure says nothing that the free fraction does not: an arena full of
# clean copies has room.
PRESSURE_MAX: Final = 0.97


# Not frozen: it is made anew for each look, by two who know each a part.
@dataclass(slots=True, kw_only=True)
class Candidate:
    """What placement needs to know of one peer."""

    node: NodeId
    state: NodeState
    is_linked: bool
    is_accepting: bool
    free_bytes: int
    budget_bytes: int
    # Monotonic seconds until which the node, having refused, is left alone; 0 when it did not
    # refuse.
    refused_until: float = 0.0
    zone: str = ""
    # An operator wants it to get no new pages.
    is_cordoned: bool = False
    # Monotonic seconds until which the node has taken as much as it wants to take so far.
    rate_limited_until: float = 0.0
    # How full its arena is, with what it could drop: 0 to 1.
    pressure: float = 0.0
    # It gets nothing for now: it left a request unanswered and was not heard since, or has to prove
    # what it keeps.
    is_doubtful: bool = False
    # Monotonic seconds until which it gets nothing because copies that it kept were bad.
    distrusted_until: float = 0.0

    @property
    def free_fraction(self) -> float:
        """The part of the node's budget that it would still fill for others."""
        return self.free_bytes / self.budget_bytes if self.budget_bytes else 0.0

    @property
    def is_pressed(self) -> bool:
        """Whether its arena fills faster than it empties."""
        return self.pressure > PRESSURE_MAX

    def has_room(self, zpage_bytes: int, *, now: float) -> bool:
        """Whether this node may be asked to take so many bytes, now or when its put rate allows it."""
        return (
            may_place(self.state)
            and self.is_linked
            and self.is_accepting
            and not self.is_cordoned
            and not self.is_doubtful
            and now >= self.refused_until
            and now >= self.distrusted_until
            and self.free_bytes >= zpage_bytes
        )


def choose_holders(
    candidates: Sequence[Candidate],
    copies: int,
    block_bytes: int,
    *,
    now: float,
    rng: random.Random,
    our_zone: str = "",
) -> list[NodeId]:
    """Return `copies` different nodes that should take a block, or none when so many can't.

    Zones that have no copy yet come first, so that one failure does not take a page and its copy.
    Among those, power of two choices (Mitzenmacher, 2001): of two nodes drawn at random the one
    that is not pressed, else the one with the larger free part of its budget.  All owners that see
    the same figures, which are as old as the last STATUS, do not all choose alike.

    The two are drawn by the size of their budgets: of many nodes, drawn alike, each is in one pair
    of n / 2, so one with more than twice the mean budget would not get its part however empty it
    is.

    Args:
        candidates: All peers, in any state.
        copies: On how many different nodes, at least 1.
        block_bytes: What goes together, in bytes, more than 0.
        now: Monotonic seconds.
        rng: Draws the two.
        our_zone: The zone of the owner; empty when zones are not in use.
    """
    assert block_bytes > 0
    able = [
        each
        for each in candidates
        if each.has_room(block_bytes, now=now) and now >= each.rate_limited_until
    ]
    if len(able) < copies:
        return []
    chosen: list[NodeId] = []
    # A node without a zone counts as being in ours, for nothing says otherwise.
    zones = {our_zone, ""}
    for _ in range(copies):
        elsewhere = [each for each in able if our_zone and each.zone not in zones]
        pair = _draw_two(elsewhere or able, rng)
        best = max(pair, key=lambda each: (not each.is_pressed, each.free_fraction))
        able.remove(best)
        zones.add(best.zone)
        chosen.append(best.node)
    return chosen


def _draw_two(nodes: Sequence[Candidate], rng: random.Random) -> list[Candidate]:
    """Return two different nodes, or the only one, drawn by their budgets."""
    if len(nodes) == 1:
        return list(nodes)
    # Who says that it has room, and no budget, is drawn too.
    weights = [max(1, each.budget_bytes) for each in nodes]
    places = range(len(nodes))
    (first,) = rng.choices(places, weights)
    weights[first] = 0
    (second,) = rng.choices(places, weights)
    return [nodes[first], nodes[second]]
