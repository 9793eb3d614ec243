"""Recall, at the holder: it tells each owner how many pages it is ready to keep.

A recall begins when this node drains, when foreign pages are over their quota, or when this node is
above the high watermark and nothing left or was dropped for a while.
Each owner gets a bound, fixed when the recall begins.
New bounds are judged only when all bounds are met: a freed slot becomes free memory a moment later,
by compaction.
While a recall is active this node accepts no foreign pages.
Persistent pages are never dropped: if no owner can take its pages back, they stay, and the recall
stays active.

Each STATUS repeats the bound, so a STATUS that is lost, or sent twice, does no harm.
"""

import math
from dataclasses import dataclass
from typing import Final

from nodemanager.ids import NodeId
from ramsterd.core.family import Family
from ramsterd.core.stall import Stall
from ramsterd.core.store import Store
from ramsterd.remote.hold.foreign import ForeignPages

# Ticks (STATUS_SECONDS) without progress after which memory counts as stuck, and between bounds
# that were met and judging anew.
STUCK_TICKS: Final = 3
# More is taken than is over the watermark: what goes leaves holes that the largest zpages find no
# place in.
SLACK: Final = 1.05


@dataclass(frozen=True, slots=True, kw_only=True)
class HolderRecallStatistics:
    """Whether pages are asked to leave, how many more than the bounds are here, and how often it began."""

    is_active: bool
    recall_pages: int
    recalls_total: int


class HolderRecall:
    """Decides how many pages of each owner may stay."""

    def __init__(self, store: Store, foreign: ForeignPages) -> None:
        self._store = store
        self._foreign = foreign
        self._bounds: dict[NodeId, int] = {}
        self._is_active = False
        # This node drains: no page may stay, however much room there is.
        self._recalls_all = False
        # Of pages that must leave, in ticks.
        self._stall = Stall[tuple[int, int]]()
        self._ticks = 0
        self._recalls = 0

    @property
    def is_active(self) -> bool:
        """Whether pages are asked to leave, so that none is welcome."""
        return self._is_active

    def bound(self, owner: NodeId) -> int | None:
        """Return how many pages of an owner may stay; None: no bound."""
        return self._bounds.get(owner, 0) if self._is_active else None

    def on_tick(self, *, is_draining: bool, must_leave: bool, left_total: int) -> None:
        """Judge anew.

        Args:
            is_draining: Whether this node gives back all that it keeps for others.
            must_leave: Whether pages must leave this node, and none is on its way.
            left_total: How many pages of ours ever left.
        """
        if is_draining:
            self._begin(dict.fromkeys(self._foreign.owners(), 0))
            self._recalls_all = True
            return
        if self._recalls_all:
            self._end()
        self._ticks += 1
        progress = (left_total, self._store.zbud.used_bytes)
        stuck_ticks = self._stall.look(progress, self._ticks, is_moving=not must_leave)
        over_bytes, over_quota_bytes = (
            self._over_watermark_bytes(),
            self._foreign.over_quota_bytes(),
        )
        if self._is_active and self._pages_over() and max(over_bytes, over_quota_bytes) > 0:
            self._stall.restart(self._ticks)
            return
        if stuck_ticks < STUCK_TICKS:
            over_bytes = 0
        bounds = self._lower(max(over_bytes, over_quota_bytes))
        if bounds:
            self._begin(bounds)
        elif not must_leave:
            self._end()

    def _begin(self, bounds: dict[NodeId, int]) -> None:
        self._recalls += not self._is_active
        self._is_active = True
        self._stall.restart(self._ticks)
        self._bounds = bounds

    def _end(self) -> None:
        self._is_active = self._recalls_all = False
        self._bounds = {}

    def _over_watermark_bytes(self) -> int:
        zbud, limits = self._store.zbud, self._store.room.limits
        return zbud.used_bytes - int(limits.low_watermark * zbud.budget_bytes)

    def _lower(self, over_bytes: int) -> dict[NodeId, int]:
        """Return bounds that free so many bytes, each owner giving the same part of its pages.

        Empty: none are needed.
        """
        zpage_bytes = self._store.versions.zpage_bytes[Family.FOREIGN_PERSISTENT]
        if over_bytes <= 0 or not zpage_bytes:
            return {}
        kept = max(0.0, 1 - over_bytes * SLACK / zpage_bytes)
        return {
            owner: math.floor(self._foreign.pages_of(owner) * kept)
            for owner in self._foreign.owners()
        }

    def _pages_over(self) -> int:
        return sum(
            max(0, self._foreign.pages_of(owner) - self._bounds.get(owner, 0))
            for owner in self._foreign.owners()
        )

    def over_quota_at(self, budget_bytes: int) -> dict[NodeId, int]:
        """Return how many pages of each owner would be recalled with a budget, as far as its quota makes them leave."""
        bounds = self._lower(self._foreign.over_quota_bytes(budget_bytes))
        over = {owner: self._foreign.pages_of(owner) - bound for owner, bound in bounds.items()}
        return {owner: pages for owner, pages in over.items() if pages > 0}

    def statistics(self) -> HolderRecallStatistics:
        """Return a snapshot."""
        return HolderRecallStatistics(
            is_active=self._is_active,
            recall_pages=self._pages_over() if self._is_active else 0,
            recalls_total=self._recalls,
        )
