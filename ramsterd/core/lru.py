"""Linked lists of blocks, kept in arrays: 8 bytes a block, and nothing to allocate when one moves.

A `BlockLists` holds several lists; a block stands in at most one of them.  Each list has a head
node of its own in the same arrays, so linking has no special cases.  Oldest first: `append` adds at
the newest end.
"""

from array import array
from collections.abc import Iterator
from typing import Final, TypeAlias

UNLISTED: Final = 0xFFFF_FFFF
Links: TypeAlias = "tuple[array[int], array[int], int]"


class BlockLists:
    """`lists_count` lists over block numbers that grow from 0."""

    def __init__(self, lists_count: int) -> None:
        self._heads = lists_count
        self._next = array("I", range(lists_count))
        self._previous = array("I", range(lists_count))

    def links(self) -> Links:
        """Return the next and the previous of each node, and how many of them are heads: for room.c."""
        return self._next, self._previous, self._heads

    def grow(self, blocks_count: int) -> None:
        """Know blocks 0 to `blocks_count` - 1; new ones are in no list."""
        missing = self._heads + blocks_count - len(self._next)
        if missing > 0:
            self._next.extend([UNLISTED] * missing)
            self._previous.extend([UNLISTED] * missing)

    def shrink(self, blocks_count: int) -> None:
        """Forget blocks from `blocks_count` on, none of which is in a list."""
        del self._next[self._heads + blocks_count :]
        del self._previous[self._heads + blocks_count :]

    def append(self, which: int, block: int) -> None:
        """Add an unlisted block as the newest of a list."""
        self._link(self._previous[which], self._heads + block, which)

    def prepend(self, which: int, block: int) -> None:
        """Add an unlisted block as the oldest of a list."""
        self._link(which, self._heads + block, self._next[which])

    def remove(self, block: int) -> None:
        """Take a listed block out of its list."""
        node = self._heads + block
        before, after = self._previous[node], self._next[node]
        assert before != UNLISTED, "the block is in no list"
        self._next[before] = after
        self._previous[after] = before
        self._next[node] = self._previous[node] = UNLISTED

    def is_listed(self, block: int) -> bool:
        """Whether the block stands in some list."""
        return self._next[self._heads + block] != UNLISTED

    def oldest(self, which: int) -> int | None:
        """Return the oldest block of a list, or None."""
        node = self._next[which]
        return None if node == which else node - self._heads

    def blocks(self, which: int) -> Iterator[int]:
        """Yield the blocks of a list, oldest first."""
        node = self._next[which]
        while node != which:
            yield node - self._heads
            node = self._next[node]

    def filled(self) -> list[int]:
        """Return which lists have blocks, the lowest number first.  Asks all of them at once."""
        heads = self._next[: self._heads].tolist()
        return [which for which, node in enumerate(heads) if node != which]

    def _link(self, before: int, node: int, after: int) -> None:
        assert self._next[node] == UNLISTED, "the block is in a list already"
        self._next[before] = self._previous[after] = node
        self._previous[node] = before
        self._next[node] = after
