"""How a daemon protects itself at its start: what it asks for, in which order, and what it got.

The order matters, and the methods of `Protection` are called in it:

`begin`         no thread is there yet: whether it is an I/O flusher, a thread has from who starts it
`lock_program`  all that will ever be imported is imported, and nothing large is mapped: all that is
                mapped comes into memory, whether or not it was used
`lock_memory`   tables and arena are mapped: what is in memory of all mappings is locked, and the
                rest of them with its first use

Memory is locked wherever that is allowed: pages of others are in it.  That costs nothing.  All else
is for a daemon that serves swap: it may be what the kernel waits for when it wants memory, so it
must need none itself.  It has more memory for that: stacks, libraries and spare heap.  A heap that
gives nothing back, and allocations that never wait for I/O, are no gain elsewhere.
"""

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

from config.model import DaemonConfig, LockMemory
from config.units import human_bytes
from ramsterd.host import heap, protection
from ramsterd.host.threads import ThreadRefused, keep_threads

logger = logging.getLogger("ramster.memory")

# For the reserve, for the state file, and for the file of the members or a reload.
THREADS: Final = 3


class LockRefused(Exception):
    """Memory is to be locked, and can't be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtectionStatistics:
    """What was read back at the end of the start."""

    is_locked: bool
    # Of all mappings, most of which may be holes.
    locked_bytes: int
    # None: there is no limit.
    lock_limit_bytes: int | None
    is_io_flusher: bool
    oom_score_adj: int
    # Free heap that was there, and in use once, at the start.
    spare_heap_bytes: int
    # Times since the start that this process waited for a page from a disk.
    major_faults_total: int


class Protection:
    """See the module's text."""

    def __init__(
        self, *, lock: LockMemory, lock_limit_bytes: int | None, serves_swap: bool
    ) -> None:
        """Ask for nothing yet.

        Args:
            lock: Whether memory is to be locked.
            lock_limit_bytes: How much of it may be; None: all.
            serves_swap: Whether a kernel swaps to an export of this daemon.
        """
        self._lock = lock
        self._lock_limit_bytes = lock_limit_bytes
        self._serves_swap = serves_swap
        # A limit is no number of bytes for a daemon: mappings that count whole, of which few bytes
        # are in use, would pass any; and one that is reached makes an allocation fail.
        may_lock = lock_limit_bytes is None and lock is LockMemory.AUTO
        self._is_locking = may_lock or lock is LockMemory.YES
        # What was wanted and is not to be had.
        self._problems: list[str] = []
        self._locked_bytes = 0
        self._is_io_flusher = False
        self._oom_score_adj = 0
        self._spare_heap: heap.SpareHeap | None = None
        self._major_faults = 0

    @property
    def is_locking(self) -> bool:
        """Whether memory is locked, or will be."""
        return self._is_locking

    def begin(self) -> None:
        """Do what comes before any other thread."""
        if not self._serves_swap:
            # The program before may have been one (`ramsterctl restart`).
            if protection.is_io_flusher():
                protection.set_io_flusher(is_one=False)
            return
        heap.keep_freed_memory()
        self._try(
            partial(protection.set_io_flusher, is_one=True),
            "allocations of this daemon may wait for swap that it serves itself (PR_SET_IO_FLUSHER)",
            "give it CAP_SYS_RESOURCE, as its unit does",
        )
        self._try(
            protection.spare_from_oom_killer,
            "the OOM killer may end this daemon, which serves swap",
            "set OOMScoreAdjust=-1000, as its unit does",
        )

    def _try(self, protect: Callable[[], None], what: str, remedy: str) -> None:
        try:
            protect()
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            self._problems.append(f"{what}: {reason}; {remedy}")

    def lock_program(self) -> None:
        """Bring into memory what is mapped: programs, libraries, the heap, stacks of threads.

        Raises:
            LockRefused: It is to be locked, and can't be.
        """
        if not self._serves_swap:
            return
        try:
            keep_threads(THREADS)
        except ThreadRefused as error:
            # They may come later; who has work then reports it.
            self._problems.append(f"there are no spare threads: {error}")
        self._lock_by(protection.lock_program)

    def lock_memory(self) -> None:
        """Lock all that is in memory, and what comes into it from now on; read back how all of it stands.

        Raises:
            LockRefused: It is to be locked, and can't be.
        """
        if self._serves_swap:
            self._spare_heap = heap.SpareHeap()
        self._lock_by(protection.lock_from_now_on)
        self._is_io_flusher = protection.is_io_flusher()
        with suppress(OSError):  # no /proc is mounted here
            self._locked_bytes = protection.locked_bytes()
            self._oom_score_adj = protection.oom_score_adj()
        self._major_faults = protection.major_faults()

    def _lock_by(self, lock: Callable[[], None]) -> None:
        if not self._is_locking:
            return
        try:
            lock()
        except OSError as error:
            protection.unlock_memory()
            reason = (
                f"can't lock the memory of this daemon: {(error.strerror or str(error)).lower()}"
            )
            if self._lock is LockMemory.YES:
                raise LockRefused(reason) from None
            self._is_locking = False
            self._problems.append(reason)

    def say(self) -> None:
        """Tell the log how it stands."""
        level = logging.WARNING if self._serves_swap else logging.INFO
        for problem in self._problems:
            logger.log(level, "%s", problem)
        limit = self._lock_limit_bytes
        if self._is_locking:
            logger.info("all memory of this daemon is locked")
        elif self._lock is LockMemory.AUTO and limit is not None and not self._serves_swap:
            # Of one that serves swap the rules about this machine have told it.
            logger.info(
                "the memory of this daemon is not locked, because it may lock %s at most (RLIMIT_MEMLOCK)",
                human_bytes(limit),
            )

    def statistics(self) -> ProtectionStatistics:
        """Return a snapshot."""
        spare = self._spare_heap
        return ProtectionStatistics(
            is_locked=self._is_locking,
            locked_bytes=self._locked_bytes,
            lock_limit_bytes=self._lock_limit_bytes,
            is_io_flusher=self._is_io_flusher,
            oom_score_adj=self._oom_score_adj,
            spare_heap_bytes=0 if spare is None else spare.spare_bytes,
            major_faults_total=protection.major_faults() - self._major_faults,
        )


NO_PROTECTION: Final = Protection(lock=LockMemory.NO, lock_limit_bytes=None, serves_swap=False)


def protection_of(daemon: DaemonConfig, lock_limit_bytes: int | None) -> Protection:
    """Return the protection that the config of a node asks for."""
    return Protection(
        lock=daemon.memory.lock, lock_limit_bytes=lock_limit_bytes, serves_swap=daemon.serves_swap
    )
