"""What can go wrong for a client of the tmem socket: all are RamsterError."""


class RamsterError(Exception):
    """Something went wrong at, or on the way to, the daemon."""


class NotConnected(RamsterError):
    """The daemon is not there, closed the connection, or said what is no reply.

    Whatever was outstanding may or may not have been done.  The client is of no further use; a new
    one finds named pools again.
    """


class NotAllowed(RamsterError):
    """The daemon's config does not allow what was asked."""


class PoolGone(RamsterError):
    """The pool was destroyed."""


class PoolLost(RamsterError):
    """The pages of a named persistent pool ended with the daemon, so nothing may be put or flushed.

    A get answers PageLost for every page.  `destroy` the pool and make it again, and it is empty.
    """


class NotStored(RamsterError):
    """A put stored nothing, for the daemon can't note on its disk that the pool has pages.

    Later it may.
    """


class PoolFull(RamsterError):
    """A put found no room, here or at a peer, or a quota was reached.

    Pages of the run may be stored or not.  One that is not stored, but stood there before, answers
    PageLost (persistent) or is a miss (ephemeral) when there was no room; when it was a quota it is
    as it was.
    """


class _Pages(RamsterError):
    def __init__(self, indexes: tuple[int, ...], text: str) -> None:
        shown = ", ".join(str(index) for index in indexes[:4])
        more = f" and {len(indexes) - 4} more" if len(indexes) > 4 else ""  # noqa: PLR2004  the four above
        super().__init__(f"page {shown}{more}: {text}")
        # Which pages of the run.
        self.indexes = indexes


class PageLost(_Pages):
    """The last copy of pages is gone.

    `indexes` says which.  The other pages of the run can be got.
    """

    def __init__(self, indexes: tuple[int, ...]) -> None:
        super().__init__(indexes, "the last copy is gone")


class PageUnreachable(_Pages):
    """The peer that holds some of the pages in `indexes` does not answer; later it may."""

    def __init__(self, indexes: tuple[int, ...]) -> None:
        super().__init__(indexes, "its holder did not answer in time")
