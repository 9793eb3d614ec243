"""Placing: which peers get the next block of persistent pages, and for how many peers it waits.

It joins the facts about each peer (`candidates`) with the bytes in flight to it, and with the time
since when there were too few peers (`degrade`).
It sends nothing.
"""

import math
import random
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

from nodemanager.ids import NodeId
from nodemanager.placement import Candidate, choose_holders
from nodemanager.states import may_place
from ramsterd.core.family import Family
from ramsterd.core.page import PoolKind
from ramsterd.core.size_classes import BLOCK_STRIDE_BYTES
from ramsterd.core.store import Store
from ramsterd.remote.limits.alarm import earlier
from ramsterd.remote.send.candidates import Candidates
from ramsterd.remote.send.degrade import Degrade
from ramsterd.remote.send.puts_in_flight import PutsInFlight

# Blocks that can't leave, and are passed over for one that can, in one pass: each costs some 20 us.
PASSED_OVER_MAX: Final = 8


@dataclass(frozen=True, slots=True)
class Choice:
    """Who gets a block, none for now: how many it wants, how many it must have, and the room at each of those chosen."""

    nodes: list[NodeId]
    copies: int
    fewest_copies: int
    room_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortage:
    """What a write that was refused found: peers, those that are up, those with room, and what pages need."""

    peers: int
    peers_up: int
    peers_with_room: int
    # Of the pool that asks for most: its name, and how many peers it wants and needs; 0: there is
    # no such pool.
    pool: str
    copies: int
    fewest_copies: int

    def __str__(self) -> str:
        """Return it as an operator reads it, with what to do."""
        found = f"peers: {self.peers}, up: {self.peers_up}, with room: {self.peers_with_room}"
        if self.copies:
            fewest = "peer" if self.fewest_copies == 1 else "peers"
            found += f"; pages of {self.pool} leave only for {self.fewest_copies} {fewest} or more with room"
            found += f" (copies = {self.copies})"
        if self.peers_up < self.peers:
            advice = "type `systemctl start ramsterd` on the nodes that are down"
        else:
            advice = "type `ramsterctl memory set --budget SIZE` on a node with free memory, or add a node"
        if self.peers_with_room and self.fewest_copies > 1:
            advice += f", or set copies_min below {self.fewest_copies} in [remote]"
            advice += ' (not for durability = "replicated")'
        return f"{found}: {advice}"


class Placing:
    """See the module's text."""

    def __init__(
        self,
        store: Store,
        candidates: Candidates,
        puts: PutsInFlight,
        degrade: Degrade,
        *,
        in_flight_max: int,
        rng: random.Random,
    ) -> None:
        self._store = store
        self._candidates = candidates
        self._puts = puts
        self._degrade = degrade
        self._in_flight_max = in_flight_max
        self._rng = rng

    # Who.

    def _heard(self, besides: AbstractSet[NodeId] = frozenset()) -> list[Candidate]:
        """Return the peers that owe no answer for too long; `besides` are those that do, too."""
        silent = self._puts.silent() | besides
        peers = self._candidates.all(PoolKind.PERSISTENT)
        return [each for each in peers if each.node not in silent]

    def _with_credit(self, heard: list[Candidate]) -> list[Candidate]:
        """Return those that may have more pages before they have given one back."""
        pages, has_credit = self._puts.pages_by_node(), self._candidates.trust.has_credit
        return [each for each in heard if has_credit(each.node, pages.get(each.node, 0))]

    def answering(self, *, besides: AbstractSet[NodeId] = frozenset()) -> list[Candidate]:
        """Return the peers that owe no answer for too long, and have credit.

        `besides` are those that do, too.
        """
        return self._with_credit(self._heard(besides))

    def are_all_busy(self) -> bool:
        """Whether each peer with a link has as many PUTs under way as it may have: until one is answered nobody is chosen.

        Each pass asks while pages must leave.
        """
        nodes, busy = self._candidates.nodes, self._puts.busy()
        linked = [node for node in nodes.nodes() if nodes.is_linked(node)]
        return bool(linked) and all(busy.count(node) >= self._in_flight_max for node in linked)

    def choose(self, block: int, now: float, *, is_kept: bool) -> Choice:
        """Choose holders for a block.

        Args:
            block: A persistent one.
            now: Monotonic seconds.
            is_kept: Whether it stays here until as many peers as it wants have it, for somebody
                waits for just that.
        """
        store = self._store
        block_bytes = store.zbud.block_bytes(block)
        copies = store.copies.wanted_by(block)
        fewest = copies if is_kept else store.copies.fewest_wanted_by(block)
        heard = self._heard()
        answering = self._with_credit(heard)
        able = sum(each.has_room(block_bytes, now=now) for each in answering)
        wanted = self._degrade.copies_now(copies, fewest, able, _present(heard), now)
        busy = self._puts.busy()
        is_open = [
            each
            for each in answering
            if busy.count(each.node) < self._in_flight_max
            and not self._candidates.is_behind(each.node)
        ]
        if not wanted:
            return Choice([], copies, fewest)
        nodes = choose_holders(
            is_open, wanted, block_bytes, now=now, rng=self._rng,
            our_zone=self._candidates.nodes.local_config.zone,
        )  # fmt: skip
        if not nodes:
            self._candidates.put_rate.wait(is_open, block_bytes, now)
            return Choice([], copies, fewest)
        room_bytes = min(each.free_bytes for each in is_open if each.node in nodes)
        return Choice(nodes, copies, fewest, room_bytes)

    def pass_over(self, now: float) -> None:
        """Have the oldest blocks that must be on more peers than have room stand behind others.

        Else those of one pool would hold up the blocks of all others, which may be on fewer.
        """
        store, zbud = self._store, self._store.zbud
        fewest = {
            pool.fewest_copies for pool in store.pools if pool.family is Family.OWN_PERSISTENT
        }
        if len(fewest) < 2:  # noqa: PLR2004  all alike
            return
        able = len(self.room(now))
        if able < min(fewest):
            return
        for _ in range(PASSED_OVER_MAX):
            block = zbud.oldest(Family.OWN_PERSISTENT)
            if block is None or store.copies.fewest_wanted_by(block) <= able:
                return
            zbud.make_newest(block)

    def room(self, now: float) -> dict[NodeId, int]:
        """Return the peers with room for any block, and how much."""
        return _room(self.answering(), now)

    def look(self, now: float, *, since: float = math.inf) -> None:
        """Note how many peers have room: a shortage begins when it does, and not when a page must leave.

        At every tick; and when peers were given up, that have said nothing `since` then.
        """
        heard = self._heard()
        able = len(_room(self._with_credit(heard), now))
        self._degrade.look(able, _present(heard), now, since=since)
        self._store.copies.on_attainable(self._degrade.attainable(now))

    # What waits.

    @property
    def is_waiting(self) -> bool:
        """Whether a block waits for a peer that may be back at once, or at its cap."""
        return self._candidates.put_rate.is_waiting or self._degrade.is_waiting

    def next_deadline(self) -> float | None:
        """Return when a block that waits may be tried again."""
        return earlier(self._candidates.put_rate.next_deadline(), self._degrade.next_deadline())

    def on_deadline(self, now: float) -> None:
        """Those who wait ask again in the pass that this call begins."""
        self._candidates.put_rate.on_deadline(now)
        self._degrade.on_deadline(now)

    def shortage(self, now: float) -> Shortage:
        """Return why a page of ours finds no peer."""
        ours = (pool for pool in self._store.pools if pool.family is Family.OWN_PERSISTENT)
        most = max(ours, key=lambda pool: pool.fewest_copies, default=None)
        peers = self._candidates.nodes.candidates()
        return Shortage(
            peers=len(peers),
            peers_up=sum(each.is_linked and may_place(each.state) for each in peers),
            peers_with_room=len(self.room(now)),
            pool="" if most is None else most.identity.label,
            copies=0 if most is None else most.copies,
            fewest_copies=0 if most is None else most.fewest_copies,
        )


def _room(peers: list[Candidate], now: float) -> dict[NodeId, int]:
    """Return those of these peers with room for any block, and how much."""
    return {
        each.node: each.free_bytes for each in peers if each.has_room(BLOCK_STRIDE_BYTES, now=now)
    }


def _present(peers: list[Candidate]) -> int:
    """Return how many of these peers are there to be given pages, whether or not they have room now."""
    return sum(each.is_linked and may_place(each.state) for each in peers)
