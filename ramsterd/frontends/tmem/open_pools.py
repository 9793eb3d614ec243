"""The pools that one connection has open, by the numbers that its client knows them by.  Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ramsterd.frontends.tmem.handed import OPEN_POOLS_MAX, HandedPool, HandedPools
from ramsterd.frontends.tmem.messages import ErrorCode
from ramsterd.frontends.tmem.pool_records import Refused, TmemPool
from ramsterd.frontends.tmem.pools import PoolBook

POOL_GONE: Final = "another connection destroyed this pool"


@dataclass(slots=True, eq=False)
class OpenPool:
    """A pool as one connection has it open."""

    pool: TmemPool
    is_exclusive: bool


class OpenPools:
    """Numbers are never used twice by one connection."""

    def __init__(self, book: PoolBook) -> None:
        self._book = book
        self._pools: dict[int, OpenPool] = {}
        self._last = 0

    def __iter__(self) -> Iterator[TmemPool]:
        return (opened.pool for opened in self._pools.values())

    def check_room(self) -> None:
        """Raise Refused if no more pools may be opened.

        Those that others destroyed take no place.
        """
        for number, opened in list(self._pools.items()):
            if opened.pool.is_gone:
                self._book.close(self._pools.pop(number).pool)
        if len(self._pools) >= OPEN_POOLS_MAX:
            raise Refused(ErrorCode.TOO_MANY_POOLS, f"{OPEN_POOLS_MAX} pools are open here")

    def number_of(self, pool: TmemPool, *, is_exclusive: bool) -> int:
        """Return the number of a pool that was just opened: the one it has, if it was open already."""
        for number, opened in self._pools.items():
            if opened.pool is pool and opened.is_exclusive is is_exclusive:
                self._book.close(pool)
                return number
        self._last += 1
        self._pools[self._last] = OpenPool(pool, is_exclusive)
        return self._last

    def find(self, number: int) -> OpenPool:
        """Return a pool, or raise Refused: it was never opened here, or is gone."""
        opened = self._pools.get(number)
        if opened is None:
            raise Refused(ErrorCode.NO_SUCH_POOL, f"this connection has no pool {number}")
        if opened.pool.is_gone:
            raise Refused(ErrorCode.NO_SUCH_POOL, POOL_GONE)
        return opened

    def take_out(self, number: int) -> TmemPool:
        """Return a pool that this connection is about to destroy, and forget its number.

        Or raise Refused.
        """
        pool = self.find(number).pool
        del self._pools[number]
        pool.connections -= 1
        return pool

    def leave(self) -> HandedPools:
        """Return what is open, for the next process: nothing is open here any more, and nothing is closed."""
        pools = tuple(
            HandedPool(
                number=number,
                pool=opened.pool.pool,
                kind=opened.pool.kind,
                codec=opened.pool.codec,
                name=opened.pool.name,
                is_exclusive=opened.is_exclusive,
            )
            for number, opened in self._pools.items()
            if not opened.pool.is_gone
        )
        self._pools.clear()
        return HandedPools(last=self._last, pools=pools)

    def take_up(self, handed: HandedPools, *, user: int) -> None:
        """Open what an earlier process had open, by the same numbers.

        One that others destroyed is not among it.

        Raises:
            Refused: One of them is not to be had any more; `close` closes the others.
        """
        self._last = handed.last
        for each in handed.pools:
            pool = (
                self._book.open(user, each.kind, each.name, each.codec)
                if each.name
                else self._book.claim_private(user, each.pool)
            )
            self._pools[each.number] = OpenPool(pool, each.is_exclusive)

    def close(self) -> None:
        """The connection is over.  May be called twice."""
        for pool in self:
            self._book.close(pool)
        self._pools.clear()
