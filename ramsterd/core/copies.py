"""Copies: on how many peers a page is to be, and whether it is.

Each pool wants a number of copies, and says how few will do while few peers have room.  A holder
without a link does not count as one.  What is done for pages that have too few is for others
(core.room, remote.send.replicate).
"""

from typing import Final

from config.limits import COPIES_MAX
from ramsterd.core.family import Family
from ramsterd.core.pools import Pool
from ramsterd.core.size_classes import SLOTS_OF_CLASS
from ramsterd.core.versions import Versions

# Families of pages of persistent pools of ours.
_PERSISTENT: Final = (Family.OWN_PERSISTENT, Family.OWN_CLEAN)


class Copies:
    """The number of copies that each pool asks for, and the number that the cluster can hold."""

    def __init__(self, versions: Versions) -> None:
        self._versions = versions
        # Holder ids without a link: their copies do not count as long as there is a choice.
        self.unreachable_holders: frozenset[int] = frozenset()
        # The most copies that any pool ever wanted.
        self.wanted_max = 1
        # How many copies peers have room for now: a clean block needs no more to be dropped.
        self.attainable = COPIES_MAX

    def on_wanted(self, copies: int) -> None:
        """A pool wants so many copies from now on."""
        self.wanted_max = max(self.wanted_max, copies)

    def on_attainable(self, copies: int) -> None:
        """So many copies can be had for now."""
        self.attainable = copies

    def on_unreachable(self, holder: int) -> None:
        """A holder can't be asked, or is over: what it has is no copy."""
        self.unreachable_holders |= {holder}

    def on_reachable(self, holder: int) -> None:
        """A holder can be asked again, or nothing names it any more."""
        self.unreachable_holders -= {holder}

    def wanted_by(self, block: int) -> int:
        """Return on how many peers a block must be kept, when it is not kept here."""
        return max((pool.copies for pool in self._pools_of(block)), default=1)

    def fewest_wanted_by(self, block: int) -> int:
        """Return the same for a time when fewer peers have room than that."""
        return max((pool.fewest_copies for pool in self._pools_of(block)), default=1)

    def _pools_of(self, block: int) -> list[Pool]:
        """Return the pools that a block has pages of; none if it does not matter which."""
        versions = self._versions
        if self.wanted_max == 1:
            return []
        zbud = versions.zbud
        is_ours = zbud.family_of_block[block] in _PERSISTENT
        # One that is leaving may have lost all its pages.
        is_used = zbud.free_slots(block) < SLOTS_OF_CLASS[zbud.chunks_of_block[block]]
        # Pages that were written anywhere stand in as many leaves: to find their pools takes a while.
        alike = versions.pools.alike() if is_ours and is_used else None
        return versions.pools_of(zbud.rows(block)) if alike is None else [alike]

    def are_lacking(self, block: int, *, attainable: int = COPIES_MAX) -> bool:
        """Whether some page of a clean block has fewer holders that can be asked than it should: they may have died.

        As many as there can be now will do, if its pools allow that.
        """
        unreachable = self.unreachable_holders
        if not unreachable and self.wanted_max == 1:
            return False
        wanted = self.wanted_by(block)
        if attainable < wanted:
            wanted = max(attainable, self.fewest_wanted_by(block))
        rows, holders = self._versions.zbud.rows(block), self._versions.rows.holders
        return any(sum(each not in unreachable for each in holders(row)) < wanted for row in rows)
