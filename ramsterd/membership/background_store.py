"""The members' store, written in a thread: the loop goes on while the disk takes its time.

An fsync may take seconds, and on a node that serves its own swap it may wait for memory that only
this loop can free; for a cluster of 512 nodes the rewriting alone takes 0.3 s (3 nodes: 3 ms).  So
a change is judged at once, and written behind: a file that was changed by hand, or may not be
written any more, is found before anything has changed; a disk that is full or broken is told
afterwards, as with a change that another node made.

Of changes that come faster than the disk is, the last one is written.  A thread that the system
refuses is told as a disk that is full.
"""

import logging
from collections.abc import Callable
from functools import partial
from typing import Final

import trio

from config.errors import ConfigError
from config.event_kinds import EventKind, about
from config.model import ClusterConfig
from nodemanager.membership import MembershipStore
from ramsterd.host.threads import ThreadRefused, run_in_thread

logger = logging.getLogger("ramster.members")

# A stop does not wait longer for the disk: what is not written is learned again from the others.
LAST_WRITE_SECONDS_MAX: Final = 3.0


class BackgroundStore:
    """A `MembershipStore` around one that blocks.  `run` must run."""

    def __init__(
        self,
        inner: MembershipStore,
        *,
        judge: Callable[[], object],
        on_written: Callable[[str], None],
    ) -> None:
        """Wire it.

        Args:
            inner: What writes, in a thread.
            judge: Raises ConfigError if writing can't succeed; quick.
            on_written: Called after each attempt with what went wrong, or an empty text.
        """
        self._inner = inner
        self._judge = judge
        self._on_written = on_written
        # What the inner store is known to hold (None: not yet), and what it shall hold (None:
        # nothing else).
        self._held: ClusterConfig | None = None
        self._wanted: ClusterConfig | None = None
        self._is_writing = False
        self._came = trio.Event()

    @property
    def is_writing(self) -> bool:
        """Whether it is not known yet what becomes of the last `save`."""
        return self._wanted is not None or self._is_writing

    def load(self) -> ClusterConfig:
        """Return what is kept, at times a moment behind.

        Raises:
            ConfigError: As the inner store raises it.
        """
        return self._inner.load()

    def save(self, cluster: ClusterConfig, *, known: ClusterConfig) -> None:
        """Judge at once, write soon.

        Raises:
            ConfigError: It can't be kept, or somebody else changed it.
        """
        self._judge()
        if self._held is None:
            self._held = known
        # Compared with what is held, not with what the caller knows of: that may be a write that
        # failed.
        allowed = (self._held.in_order(), cluster.in_order())
        if not self.is_writing and self._inner.load().in_order() not in allowed:
            # The inner store says in its own words what it finds, and writes nothing.
            self._inner.save(cluster, known=self._held)
            return
        self._wanted = cluster
        self._came.set()

    async def run(self) -> None:
        """Write until cancelled, and then what is still to be written, within a bound."""
        try:
            while True:
                await self._came.wait()
                self._came = trio.Event()
                await self._write()
        finally:
            with trio.move_on_after(LAST_WRITE_SECONDS_MAX, shield=True):
                await self._write()

    async def _write(self) -> None:
        while (cluster := self._wanted) is not None:
            held = self._held
            assert held is not None, "noted with the first that was wanted"
            self._wanted, self._is_writing = None, True
            save = partial(self._inner.save, cluster, known=held)
            try:
                # Given up by a stop, it may yet end well; written twice is as good as once.
                await run_in_thread(save, abandon_on_cancel=True)
            except (ConfigError, ThreadRefused) as error:
                logger.warning(
                    "can't write the members to the cluster file: %s; remove the cause, then type `ramsterctl config reload`",
                    error,
                    extra=about(EventKind.MEMBERS_UNWRITTEN),
                )
                self._on_written(str(error))
            except trio.Cancelled:
                self._want_again(cluster)
                raise
            else:
                self._held = cluster
                self._on_written("")
            finally:
                self._is_writing = False

    def _want_again(self, cluster: ClusterConfig) -> None:
        """Note what was given up, unless a newer one came meanwhile."""
        if self._wanted is None:
            self._wanted = cluster
