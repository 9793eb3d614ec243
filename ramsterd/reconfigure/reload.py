"""Reading a node's files again while the daemon runs: on SIGHUP, and on `ramsterctl config reload`.

Files are read in a thread, for a disk may take its time and a node may serve its own swap.  Then,
in one step of the loop, what can be applied is (`config.differences` says what), and the rest is
named.  A file that is wrong changes nothing; it is named, and `ramster_last_reload_successful` is 0
until a reload ends well.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import trio

from config.differences import Difference, compare
from config.event_kinds import EventKind, about
from config.model import DaemonConfig
from config.shares import describe_size
from nodemanager.membership import StoreCheck
from ramsterd.host.threads import ThreadRefused, run_in_thread
from ramsterd.observe.snapshot import ConfigStatistics
from ramsterd.reconfigure.examine import Reread

logger = logging.getLogger("ramster.daemon")

UNCHANGED: Final = "no key of ramsterd.toml has changed"


@dataclass(frozen=True, slots=True)
class Renewal:
    """What is to be said of the cluster file, and which key or certificate is new."""

    check: StoreCheck
    loaded: tuple[str, ...]


class CannotApply(Exception):
    """A change was judged to be applicable, and is not.

    Nothing has changed.  The message is for the operator.
    """


class Reloader:
    """Does one reload at a time; `run` must run."""

    def __init__(
        self,
        running: DaemonConfig,
        *,
        reread: Callable[[DaemonConfig], Reread],
        apply: Callable[[DaemonConfig, Reread], None],
        renew: Callable[[Reread], Renewal],
        wall_clock: Callable[[], float],
    ) -> None:
        """Begin with the files as they were read at the start.

        Args:
            running: What the daemon was started with.
            reread: Reads the files, given what runs now; blocks.
            apply: Makes the daemon follow what runs from now on, and what was read beside it, in
                one step; raises CannotApply before anything has changed.
            renew: Uses keys and certificates, and looks at the cluster file, which is not taken
                over.
            wall_clock: Returns seconds since 1970.
        """
        self.running = running
        self._reread = reread
        self._apply = apply
        self._renew = renew
        self._wall_clock = wall_clock
        self._asked = 0
        self._is_under_way = False
        self._came = trio.Event()
        self._statistics = ConfigStatistics(
            budget=describe_size(running.memory.budget),
            keep=str(running.memory.keep),
            last_reload_success_timestamp_seconds=wall_clock(),
        )

    def statistics(self) -> ConfigStatistics:
        """Return a snapshot."""
        return self._statistics

    def ask(self) -> int:
        """Have the files read again soon; return the `reloads_total` with which that is done."""
        # One that is under way may have read them before they were changed; several asked for later
        # are one.
        self._asked = self._statistics.reloads_total + (2 if self._is_under_way else 1)
        self._came.set()
        return self._asked

    async def run(self) -> None:
        """Reload whenever that is asked for, until cancelled."""
        while True:
            await self._came.wait()
            self._came = trio.Event()
            while self._statistics.reloads_total < self._asked:
                await self._reload()

    async def _reload(self) -> None:
        self._is_under_way = True
        try:
            read = partial(self._reread, self.running)
            found = await run_in_thread(read, abandon_on_cancel=True)
        except ThreadRefused as error:
            found = Reread(problems=(f"can't read the files again: {error}",))
        finally:
            self._is_under_way = False
        self._on_read(found)

    def _on_read(self, found: Reread) -> None:
        """Apply what was read, and note how it went."""
        problems, difference = list(found.problems), None
        if found.daemon is not None:
            difference = compare(self.running, found.daemon)
            try:
                self._apply(difference.config, found)
            except CannotApply as error:
                problems.append(f"the old configuration stays in force: {error}")
                difference = None
            else:
                self.running = difference.config
        renewal = self._renew(found)
        check = renewal.check
        problems += [check.problem] if check.problem else []
        warnings = (*found.warnings, *([check.edited] if check.edited else []))
        self._note(problems, warnings, difference, renewal.loaded)
        for warning in found.warnings:  # the log has heard of the cluster file already
            logger.warning("%s", warning)

    def _note(
        self,
        problems: list[str],
        warnings: tuple[str, ...],
        difference: Difference | None,
        loaded: tuple[str, ...],
    ) -> None:
        before = self._statistics
        applied = tuple(each.as_applied() for each in difference.applied) if difference else ()
        pending = before.needs_restart
        if difference is not None:
            pending = tuple(each.as_pending() for each in difference.needs_restart)
        self._statistics = replace(
            before,
            reloads_total=before.reloads_total + 1,
            failed_reloads_total=before.failed_reloads_total + bool(problems),
            is_last_reload_successful=not problems,
            last_reload_success_timestamp_seconds=(
                before.last_reload_success_timestamp_seconds if problems else self._wall_clock()
            ),
            problems=tuple(problems),
            warnings=warnings,
            applied=applied,
            loaded=loaded,
            needs_restart=pending,
        )
        for problem in problems:
            logger.error("%s", problem, extra=about(EventKind.CONFIG_REFUSED))
        for line in applied:
            logger.info("applied: %s", line, extra=about(EventKind.CONFIG_RELOADED))
        for line in pending:
            logger.warning("needs a restart: %s", line, extra=about(EventKind.CONFIG_PENDING))
        if difference is not None and not applied and not pending:
            logger.info("%s", UNCHANGED, extra=about(EventKind.CONFIG_RELOADED))
