"""The book of operations that are not over: who waits where, what ends them, and who is to be told.  Pure.

An operation stands in line at each of its pages (`order.py`); a write waits for room too
(`queues.py`), or for its page.  Here is what all that has to agree about: when an operation is
over, it stands nowhere any more.
"""

from typing import cast

from ramsterd.core.page import PoolId
from ramsterd.frontends.pager.interface import PutOutcome, WriteOutcome
from ramsterd.frontends.pager.operations import NEWEST, Operation, Operations, Patch, Write
from ramsterd.frontends.pager.order import Order
from ramsterd.frontends.pager.queues import Queues
from ramsterd.pagepath.engine import Engine
from ramsterd.remote.fetch.pending import PendingGet


class Book:
    """All operations of this node that are not over, and writes whose clients are to be told that they are."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # While this is empty, nothing here is asked.
        self.open: Operations = {}
        self.order = Order()
        self.queues = Queues()
        # Writes that are over, and whose clients are to be told.
        self.ended: dict[Write, WriteOutcome] = {}
        # How many writes a later one replaced, and how many lost their client, before they took
        # effect.
        self.superseded_puts_total = 0
        self.cancelled_puts_total = 0
        self._fetches: dict[PendingGet, Patch] = {}
        self._last_number = 0

    def next_number(self) -> int:
        """Return the number of an operation that arrives."""
        self._last_number += 1
        return self._last_number

    def begin(self, operation: Operation) -> None:
        """An operation is not over as it arrives."""
        self.open[operation] = None
        operation.client[operation] = None
        self.order.add(operation)

    def on_effect(
        self, pool: PoolId, object_id: bytes, index: int, count: int, *, newest: int = NEWEST
    ) -> None:
        """A run was replaced by operation `newest`: that and what came before has nothing more to do there."""
        if not self.open or count <= 0:
            return
        for operation in self.order.strike(pool, object_id, index, count, newest=newest):
            if isinstance(operation, Write):
                if operation.rest:
                    self.queues.on_changed(operation)
                else:
                    self.superseded_puts_total += operation.number != newest
                    self.end(operation, PutOutcome.STORED)

    # Patches whose page is asked for.

    def begin_fetch(self, patch: Patch, pending: PendingGet, serial: int) -> None:
        """A patch waits for its page, in this version."""
        patch.fetch, patch.serial = pending, serial
        self._fetches[pending] = patch
        self.queues.remove(patch)

    def end_fetch(self, pending: PendingGet) -> Patch | None:
        """A get has ended; return the patch that it was for, if that is not over."""
        patch = self._fetches.pop(pending, None)
        if patch is not None:
            patch.fetch = None
        return patch

    # Being over.

    def end(self, write: Write, outcome: WriteOutcome) -> None:
        """A write is over; its client is told at the end of the pass, unless it is gone by then."""
        self._stop(write)
        self.ended[write] = outcome

    def forget(self, operation: Operation) -> None:
        """An operation is over without an effect or an answer."""
        self._stop(operation)
        del operation.client[operation]

    def _stop(self, operation: Operation) -> None:
        del self.open[operation]
        self.order.remove(operation)
        if not self.open:
            self.order.next_patches.clear()
        if isinstance(operation, Write):
            self.queues.remove(operation)
        if isinstance(operation, Patch) and operation.fetch is not None:
            self._engine.cancel([operation.fetch])
            self.end_fetch(operation.fetch)

    def close(self, client: Operations) -> None:
        """A client is gone: nothing of it has any effect from now on, and nobody is to be told."""
        for operation in list(client):
            if operation in self.open:
                self.cancelled_puts_total += isinstance(operation, Write)
                self.forget(operation)
            else:
                del self.ended[cast("Write", operation)]
        client.clear()

    def refuse_pool(self, pool: PoolId) -> None:
        """A pool is about to go: writes that wait in it are refused."""
        for operation in [each for each in self.open if each.pool == pool]:
            if isinstance(operation, Write):
                self.end(operation, PutOutcome.REFUSED)

    def take_answer(self, write: Write) -> WriteOutcome | None:
        """Return how a write ended, if it has: its client is told at once."""
        if write not in self.ended:
            return None
        del write.client[write]
        return self.ended.pop(write)

    def take_ended(self) -> list[tuple[Write, WriteOutcome]]:
        """Return the writes that are over since the last call, and how they ended."""
        if not self.ended:
            return []
        ended, self.ended = self.ended, {}
        for write in ended:
            del write.client[write]
        return list(ended.items())

    def check_invariants(self) -> None:
        """Assert what must be true between passes.  Walks everything that waits."""
        self.order.check_invariants(list(self.open))
        assert set(self._fetches.values()) <= self.open.keys()
        for operation in self.open:
            assert operation in operation.client
            if isinstance(operation, Write):
                assert operation.rest
                places = [
                    operation in self.queues,
                    isinstance(operation, Patch) and operation.is_behind,
                    isinstance(operation, Patch) and operation in self.order.next_patches,
                    isinstance(operation, Patch) and operation.fetch is not None,
                ]
                assert sum(places) == 1, "a write waits for one thing"
