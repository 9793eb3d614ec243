"""What front ends call: get, put, patch and flush of runs of pages, which may wait for a peer.

Each call that may wait either answers at once or returns None and later calls `done`, synchronously, on the
event loop, exactly once.  A front end handles all it received in one pass and then calls `settle()`.
"""

import enum
from collections.abc import Callable
from typing import Protocol

from ramsterd.core.page import PoolId


class PutOutcome(enum.Enum):
    """How a put ended."""

    STORED = "stored"
    REFUSED = "no room here or at any peer"


class GetOutcome(enum.Enum):
    """Why a get gives no pages."""

    LOST = "the last copy of a page is gone"
    UNREACHABLE = "the holder did not answer in time"


# One bytes of 4096 for each page of the run; None is a hole (persistent) or a miss (ephemeral).
Pages = list[bytes | None]
GetResult = Pages | GetOutcome


class PagerInterface(Protocol):
    """The calls of `Pager`; front ends are tested against a small fake of this."""

    def get(
        self,
        pool: PoolId,
        object_id: bytes,
        index: int,
        count: int,
        done: Callable[[GetResult], None],
    ) -> GetResult | None:
        """Return the pages of a run, or None: `done` is called when they are here."""
        ...

    def put(
        self,
        pool: PoolId,
        object_id: bytes,
        index: int,
        pages: memoryview,
        done: Callable[[PutOutcome], None],
    ) -> PutOutcome | None:
        """Store a run (`pages` is count * 4096 bytes, free again when this returns), or None: `done` follows."""
        ...

    def patch(
        self,
        pool: PoolId,
        object_id: bytes,
        index: int,
        offset: int,
        data: bytes,
        done: Callable[[PutOutcome | GetOutcome], None],
    ) -> PutOutcome | GetOutcome | None:
        """Change `data` at byte `offset` of one page, atomically; a hole counts as zeros."""
        ...

    def put_zeros(self, pool: PoolId, object_id: bytes, index: int, count: int) -> None:
        """Make a run read as zeros, keeping it allocated."""
        ...

    def flush(self, pool: PoolId, object_id: bytes, index: int, count: int) -> None:
        """Drop a run: it reads as a hole from now on."""
        ...

    def settle(self) -> None:
        """End a pass: send what it produced to peers and wake whom it served."""
        ...
