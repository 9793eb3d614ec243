"""The pools of all users: owners, quotas, and the end of pools.  Pure.

A pool belongs to a user id.  A named one stays when its connections end and is found again by its
name; the names of two users are apart.  A private one ends with its connection.

Quotas are counted in pages, wherever the pages are.  The count of a pool is never below the truth:
a put is charged for the pages of its run that are not there yet, a flush gives back what it
dropped; pages that the store evicts by itself are noticed when a quota is reached, by counting
anew.  Counting walks a pool, so it is done at most once for so many pages that somebody tried to
put.

A named persistent pool that had pages when the daemon ended is lost: it stays the user's, and
counts as one of its pools, until it is destroyed or reset; `statefile.marks` knows which these are.

A destroyed pool is gone at once for everybody, and its pages are dropped in slices by `sweep`;
until then they count for its user.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from config.model import PoolCodec
from ramsterd.core.codec import CodecMissing
from ramsterd.core.page import PoolId, PoolKind
from ramsterd.core.pool_identity import program_pool
from ramsterd.core.pools import Pool, PoolsExhausted
from ramsterd.frontends.pager.interface import PoolPager
from ramsterd.frontends.tmem.messages import ErrorCode
from ramsterd.frontends.tmem.pool_records import (
    PoolSnapshot,
    Quotas,
    Refused,
    TmemPool,
    User,
    UserSnapshot,
)
from ramsterd.statefile.content import PoolKey
from ramsterd.statefile.marks import Mark, Marks, unmarked

# A user's pools are counted anew when 1/256 of their pages was tried to be put since the last time:
# a leaf of the page table has 64 pages, so that a page pays for 4 leaves of dense pools (and 256 of
# the sparsest).
_RECOUNT_SHIFT: Final = 8


@dataclass(slots=True, eq=False)
class _Doomed:
    pool: TmemPool
    on_destroyed: Callable[[int], None] | None
    dropped: int = 0


class PoolBook:
    """All pools that programs have; `on_doomed` is called when `sweep` has something to do."""

    def __init__(
        self,
        pager: PoolPager,
        quotas: Quotas,
        *,
        marks: Marks | None = None,
        follow: Callable[[Mark, PoolId], None] = lambda _mark, _pool: None,
        on_doomed: Callable[[], None] = lambda: None,
    ) -> None:
        """Begin with none; `follow` is told which mark is of which pool."""
        self._pager = pager
        self._follow = follow
        self._marks = marks
        self._quotas = quotas
        self._users: dict[int, User] = {}
        self._named: dict[tuple[int, str], TmemPool] = {}
        self._doomed: deque[_Doomed] = deque()
        # Private pools of the last run that no connection has claimed yet.
        self._unclaimed: dict[tuple[int, PoolId], TmemPool] = {}
        self.on_doomed = on_doomed

    def set_quotas(self, quotas: Quotas) -> None:
        """Allow more or less from now on; pages and pools beyond it stay."""
        self._quotas = quotas

    # Pools.

    def open(
        self, user_id: int, kind: PoolKind, name: str, codec: PoolCodec = PoolCodec.LZ4
    ) -> TmemPool:
        """Return the user's pool of that name, made if it is not there, or a new private pool.

        The caller must `close` it when its connection ends.

        Raises:
            Refused: The pool is of the other kind or has another codec, the codec is not to be had
                here, or there are too many pools.
        """
        pool = self._named.get((user_id, name)) if name else None
        if pool is None:
            pool = self._make(user_id, kind, name, codec)
        elif pool.codec is not codec:
            raise Refused(ErrorCode.CODEC_DIFFERS, f"pool {name!r} has codec {pool.codec.value}")
        elif pool.kind is not kind:
            raise Refused(ErrorCode.KIND_DIFFERS, f"pool {name!r} is {pool.kind.value}")
        pool.connections += 1
        return pool

    def _make(self, user_id: int, kind: PoolKind, name: str, codec: PoolCodec) -> TmemPool:
        owner = self._users.get(user_id) or User(user_id)
        lost = self._lost_names(user_id)
        if name in lost and kind is PoolKind.EPHEMERAL:
            raise Refused(ErrorCode.KIND_DIFFERS, f"pool {name!r} is persistent, and lost")
        count = len(owner.pools) + len(lost - {name})
        if count >= self._quotas.pools_per_user_max:
            raise Refused(ErrorCode.TOO_MANY_POOLS, f"user {user_id} has {count} pools already")
        try:
            return self._add(owner, kind, name, codec)
        except PoolsExhausted as error:
            raise Refused(ErrorCode.TOO_MANY_POOLS, str(error)) from None
        except CodecMissing as error:
            raise Refused(ErrorCode.CODEC_MISSING, str(error)) from None

    def _add(self, owner: User, kind: PoolKind, name: str, codec: PoolCodec) -> TmemPool:
        user_id = owner.user
        # A program may keep what was refused elsewhere: the older version must not come back in its
        # place.
        pool_id = self._pager.new_pool(kind, program_pool(name, user_id), codec=codec)
        mark = self._mark_of(user_id, kind, name)
        self._follow(mark, pool_id)
        pool = TmemPool(pool_id, kind, name, codec, owner, mark)
        self._users[user_id] = owner
        owner.pools.append(pool)
        if name:
            self._named[user_id, name] = pool
        return pool

    def _mark_of(self, user_id: int, kind: PoolKind, name: str) -> Mark:
        if self._marks is None or not name or kind is PoolKind.EPHEMERAL:
            return unmarked()
        return self._marks.of(PoolKey(user_id, name))

    def _lost_names(self, user_id: int) -> set[str]:
        """Return the names of lost pools that nobody has opened since."""
        if self._marks is None:
            return set()
        return {
            name for name in self._marks.lost_pools(user_id) if (user_id, name) not in self._named
        }

    def clear_emptied(self) -> None:
        """Note which pools have no page any more: they are blank again."""
        for pool in self._named.values():
            mark = pool.mark
            if mark.is_set and not pool.waiting_pages and not self._pager.objects_of(pool.pool):
                mark.clear()

    def take_up(self, left: Iterable[Pool]) -> None:
        """Go on with the pools of programs that an earlier process has left, whatever the quotas are by now.

        A private one waits for its connection, until `drop_unclaimed`.
        """
        for each in left:
            user = each.identity.user
            owner = self._users.get(user) or User(user)
            pool = self._add(owner, each.kind, each.identity.name, each.codec)
            pool.pages = self._pager.pages_of(pool.pool)
            owner.pages += pool.pages
            if not pool.name:
                self.offer_private(user, pool)

    def offer_private(self, user_id: int, pool: TmemPool) -> None:
        """A private pool was kept; its connection may come, until `drop_unclaimed`."""
        assert not pool.name
        self._unclaimed[user_id, pool.pool] = pool

    def claim_private(self, user_id: int, pool_id: PoolId) -> TmemPool:
        """Return the private pool of a connection that was handed over; the caller must `close` it.

        Raises:
            Refused: It was not kept.
        """
        pool = self._unclaimed.pop((user_id, pool_id), None)
        if pool is None:
            raise Refused(ErrorCode.NO_SUCH_POOL, "a private pool of this connection was not kept")
        pool.connections += 1
        return pool

    def drop_unclaimed(self) -> None:
        """No more connections are handed over: nobody can ask for what is left."""
        unclaimed, self._unclaimed = self._unclaimed, {}
        for pool in unclaimed.values():
            self.destroy(pool)

    def close(self, pool: TmemPool) -> None:
        """A connection has no more use for a pool; a private one is destroyed."""
        pool.connections -= 1
        if not pool.name and not pool.is_gone:
            self.destroy(pool)

    def destroy(self, pool: TmemPool, on_destroyed: Callable[[int], None] | None = None) -> None:
        """End a pool for everybody.

        `on_destroyed` is told how many pages it had, once they are dropped.
        """
        assert not pool.is_gone
        pool.is_gone = True
        # Before its mark is cleared: a process that is killed in between must not leave pages that
        # no mark tells of.
        self._pager.end_pool(pool.pool)
        if pool.name:
            del self._named[pool.owner.user, pool.name]
            pool.mark.forget()
        self._doomed.append(_Doomed(pool, on_destroyed))
        self.on_doomed()

    @property
    def is_sweeping(self) -> bool:
        """Whether a destroyed pool still has pages."""
        return bool(self._doomed)

    def sweep(self, pages_max: int) -> None:
        """Drop a slice of what destroyed pools had."""
        if not self._doomed:
            return
        doomed = self._doomed[0]
        dropped, is_gone = self._pager.destroy_some(doomed.pool.pool, pages_max)
        doomed.dropped += dropped
        if not is_gone:
            self._give_back(doomed.pool, dropped)
            return
        self._doomed.popleft()
        owner = doomed.pool.owner
        self._give_back(doomed.pool, doomed.pool.pages)
        owner.pools.remove(doomed.pool)
        if not owner.pools:
            del self._users[owner.user]
        if doomed.on_destroyed is not None:
            doomed.on_destroyed(doomed.dropped)

    # Quotas.

    def charge(self, pool: TmemPool, object_id: bytes, index: int, count: int) -> tuple[int, int]:
        """Charge a put of a run before it is made.

        Return how many of its pages were there, and the charge.

        Raises:
            Refused: A quota would be exceeded; nothing is charged.
        """
        found = self._pager.count_pages(pool.pool, object_id, index, count)
        before = found or 0
        more = count - before
        owner, quotas = pool.owner, self._quotas
        owner.tried_pages += more
        if found is None:
            self._check_objects(owner)
        if (
            pool.pages + more > quotas.pool_pages_max or owner.pages + more > quotas.user_pages_max
        ) and more:
            self._recount(owner)
            if pool.pages + more > quotas.pool_pages_max:
                raise Refused(
                    ErrorCode.POOL_QUOTA, f"a pool may have {quotas.pool_pages_max} pages"
                )
            if owner.pages + more > quotas.user_pages_max:
                raise Refused(
                    ErrorCode.USER_QUOTA, f"a user may have {quotas.user_pages_max} pages"
                )
        pool.pages += more
        owner.pages += more
        return before, more

    def correct(
        self,
        pool: TmemPool,
        object_id: bytes,
        index: int,
        count: int,
        *,
        before: int,
        charged: int,
    ) -> None:
        """A put that was charged did not store all: charge what it did.  Call it in the same pass."""
        now = self._pager.count_pages(pool.pool, object_id, index, count) or 0
        self._give_back(pool, charged - (now - before))

    def on_dropped(self, pool: TmemPool, count: int) -> None:
        """Pages of a pool were flushed."""
        self._give_back(pool, count)

    def _give_back(self, pool: TmemPool, count: int) -> None:
        pool.pages -= count
        pool.owner.pages -= count
        assert pool.pages >= 0, "the count of a pool is never below the truth"

    def _check_objects(self, owner: User) -> None:
        objects = sum(self._pager.objects_of(pool.pool) for pool in owner.pools)
        if objects >= self._quotas.user_objects_max:
            raise Refused(
                ErrorCode.USER_QUOTA, f"a user may have {self._quotas.user_objects_max} objects"
            )

    def _recount(self, owner: User) -> None:
        if owner.tried_pages >= owner.pages >> _RECOUNT_SHIFT:
            self.recount(owner)

    def recount(self, owner: User) -> None:
        """Take note of what the store evicted.  Walks all pools of a user."""
        owner.tried_pages = 0
        for pool in owner.pools:
            pages = self._pager.pages_of(pool.pool) + pool.waiting_pages
            self._give_back(pool, pool.pages - pages)

    # What is true.

    def users(self) -> Iterator[User]:
        """Yield everybody who has pools."""
        yield from self._users.values()

    @property
    def doomed_pools(self) -> int:
        """How many pools are on their way out."""
        return len(self._doomed)

    def pool_snapshots(self) -> tuple[PoolSnapshot, ...]:
        """Return every pool that can be used."""
        return tuple(
            PoolSnapshot(
                user=owner.user,
                kind=pool.kind,
                name=pool.name,
                codec=pool.codec,
                pages=pool.pages,
                objects=self._pager.objects_of(pool.pool),
                connections=pool.connections,
                is_lost=pool.mark.is_lost,
            )
            for owner in self._users.values()
            for pool in owner.pools
            if not pool.is_gone
        )

    def user_snapshots(self) -> tuple[UserSnapshot, ...]:
        """Return what each user has."""
        return tuple(
            UserSnapshot(user=owner.user, pools=len(owner.pools), pages=owner.pages)
            for owner in self._users.values()
        )

    def check_invariants(self) -> None:
        """Assert what must be true between calls.  Walks everything."""
        for owner in self._users.values():
            assert owner.pools, "a user without pools"
            assert owner.pages == sum(pool.pages for pool in owner.pools)
            for pool in owner.pools:
                assert pool.pages >= self._pager.pages_of(pool.pool)
                assert pool.connections >= 0
                assert pool.waiting_pages >= 0
                is_named = self._named.get((owner.user, pool.name)) is pool
                assert is_named == bool(pool.name and not pool.is_gone)
                is_unclaimed = (owner.user, pool.pool) in self._unclaimed
                assert pool.name or pool.is_gone or is_unclaimed == (not pool.connections)
                assert pool.name or pool.connections <= 1
