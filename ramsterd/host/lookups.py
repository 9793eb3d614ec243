"""Lookups of host names: the system's resolver, in threads that it may occupy for as long as it likes.

A resolver that does not answer costs a bounded number of threads and nobody's time but that of who
asks: an answer that is late is not waited for.  A name is looked up once at a time, however many
ask.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import trio

from config.lookup import NameNotFound, look_up
from ramsterd.host.threads import ThreadRefused, run_in_thread, wait_in_thread

# glibc asks each server for 5 s, and each twice: who waits longer gains nothing.
LOOKUP_SECONDS_MAX: Final = 5.0
# Threads that lookups occupy at the same time; more names wait for one of them.
LOOKUPS_AT_ONCE_MAX: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class LookupStatistics:
    """One snapshot."""

    # Those that wait for a thread are among them.
    under_way: int
    found_total: int
    failed_total: int
    # Answers that somebody waited for in vain.
    late_total: int


@dataclass(slots=True)
class _Pending:
    done: trio.Event = field(default_factory=trio.Event)
    addresses: tuple[str, ...] = ()
    reason: str = ""


class Lookups:
    """Looks names up while `run` runs."""

    def __init__(self, find: Callable[[str], tuple[str, ...]] = look_up) -> None:
        self._find = find
        self._threads = trio.Semaphore(LOOKUPS_AT_ONCE_MAX)
        self._pending: dict[str, _Pending] = {}
        self._nursery: trio.Nursery | None = None
        self._found_total = self._failed_total = self._late_total = 0

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; lookups that are under way end by themselves."""
        async with trio.open_nursery() as self._nursery:
            task_status.started()
            await trio.sleep_forever()

    def __contains__(self, host: str) -> bool:
        """Whether a name is being looked up."""
        return host in self._pending

    async def find(self, host: str) -> tuple[str, ...]:
        """Return the addresses of a name, in the order in which to try them.

        Raises:
            NameNotFound: There is none, or none came within `LOOKUP_SECONDS_MAX`.
        """
        pending = self._pending.get(host)
        if pending is None:
            assert self._nursery is not None, "it runs"
            pending = self._pending[host] = _Pending()
            self._nursery.start_soon(self._look_up, host, pending)
        with trio.move_on_after(LOOKUP_SECONDS_MAX):
            await pending.done.wait()
        if pending.addresses:
            return pending.addresses
        if not pending.reason:
            self._late_total += 1
        raise NameNotFound(host, pending.reason or f"no answer within {LOOKUP_SECONDS_MAX:g} s")

    async def _look_up(self, host: str, pending: _Pending) -> None:
        try:
            async with self._threads:
                work = partial(self._find, host)
                pending.addresses = await run_in_thread(work, abandon_on_cancel=True)
            self._found_total += 1
        except NameNotFound as error:
            pending.reason = error.reason
            self._failed_total += 1
        except ThreadRefused as error:
            pending.reason = str(error)
            self._failed_total += 1
        finally:
            del self._pending[host]
            pending.done.set()

    def statistics(self) -> LookupStatistics:
        """Return a snapshot."""
        return LookupStatistics(
            under_way=len(self._pending),
            found_total=self._found_total,
            failed_total=self._failed_total,
            late_total=self._late_total,
        )


def find_now(host: str) -> tuple[str, ...]:
    """Do the same before there is a loop, or in a thread.  Blocks.

    Raises:
        NameNotFound: There is none, or none came within `LOOKUP_SECONDS_MAX`.
    """
    try:
        return wait_in_thread(partial(look_up, host), LOOKUP_SECONDS_MAX)
    except TimeoutError:
        raise NameNotFound(host, f"no answer within {LOOKUP_SECONDS_MAX:g} s") from None
    except ThreadRefused as error:
        raise NameNotFound(host, str(error)) from None
