"""Following the files of a node: on SIGHUP, on `ramsterctl config reload`, and by orders.

Files are read in a thread, for a disk may take its time and a node may serve its own swap.  Then,
in one step of the loop, what can be applied is (`config.differences` says what), and the rest is
named.  A file that is wrong changes nothing; it is named, and `ramster_last_reload_successful` is 0
until a reload ends well.

An order (`ramsterctl export add`, `remove`, `resize`) changes the file first, and is then followed
as a file is that an operator has changed: both, or neither.  What may fail is done before the file
is written.
"""

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, Protocol

import trio

from config.differences import Difference, compare
from config.errors import ConfigError
from config.event_kinds import EventKind, about
from config.export_edits import ExportEdit
from config.model import DaemonConfig
from config.shares import describe_size
from nodemanager.membership import StoreCheck
from ramsterd.host.threads import ThreadRefused, run_in_thread
from ramsterd.observe.snapshot import ConfigStatistics
from ramsterd.reconfigure.ends import Ends
from ramsterd.reconfigure.errors import CannotApply
from ramsterd.reconfigure.examine import Reread
from ramsterd.reconfigure.exports import Prepared
from ramsterd.reconfigure.node_files import NodeFiles

logger = logging.getLogger("ramster.daemon")

UNCHANGED: Final = "no key of ramsterd.toml has changed"
# An operator types one at a time.
ORDERS_MAX: Final = 16


@dataclass(frozen=True, slots=True)
class Renewal:
    """What is to be said of the cluster file, and which key or certificate is new."""

    check: StoreCheck
    loaded: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """An order that is carried out."""

    # It was so already.
    is_changed: bool
    warnings: tuple[str, ...]
    # How many pages went with an export.
    dropped_pages: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A change of the file that an operator orders by a command."""

    edit: ExportEdit
    # What may end with it.
    ends: Ends | None
    on_done: Callable[[Done], None]
    on_refused: Callable[[str], None]


class Parts(Protocol):
    """What follows a changed file; see `apply.RunningParts`."""

    def prepare(self, config: DaemonConfig, ends: Ends | None = None, /) -> Prepared:
        """Do all that may fail, or raise CannotApply."""
        ...

    def cancel(self, prepared: Prepared, /) -> None:
        """Leave all as it was."""
        ...

    def apply(self, config: DaemonConfig, found: Reread, prepared: Prepared, /) -> None:
        """Follow, in one step."""
        ...

    async def finish(self, prepared: Prepared, /) -> None:
        """Do what takes its time."""
        ...


class Reloader:
    """Does one reload at a time; `run` must run."""

    def __init__(
        self,
        running: DaemonConfig,
        *,
        files: NodeFiles,
        parts: Parts,
        renew: Callable[[Reread], Renewal],
        wall_clock: Callable[[], float],
    ) -> None:
        """Begin with the files as they were read at the start.

        Args:
            running: What the daemon was started with.
            files: Read, and changed by orders, in a thread.
            parts: Follow what runs from now on, and what was read beside it.
            renew: Uses keys and certificates, and looks at the cluster file, which is not taken
                over.
            wall_clock: Returns seconds since 1970.
        """
        self.running = running
        # What the file said when it was read last: what runs, and what waits for a restart.
        self._loaded = running
        self._files = files
        self._parts = parts
        self._orders: deque[Order] = deque()
        self._renew = renew
        self._wall_clock = wall_clock
        self._asked = 0
        self._is_under_way = False
        self._came = trio.Event()
        self._statistics = ConfigStatistics(
            file=str(files.path),
            budget=describe_size(running.memory.budget),
            keep=str(running.memory.keep),
            cluster=str(running.cluster),
            state_dir=str(running.state_dir or ""),
            last_reload_success_timestamp_seconds=wall_clock(),
        )

    def statistics(self) -> ConfigStatistics:
        """Return a snapshot."""
        return replace(self._statistics, waiting_export_changes=len(self._orders))

    def ask(self) -> int:
        """Have the files read again soon; return the `reloads_total` with which that is done."""
        # One that is under way may have read them before they were changed; several asked for later
        # are one.
        self._asked = self._statistics.reloads_total + (2 if self._is_under_way else 1)
        self._came.set()
        return self._asked

    def order(self, order: Order) -> None:
        """Have the file changed and followed soon, both or neither.

        Raises:
            CannotApply: Too many others wait.
        """
        if len(self._orders) >= ORDERS_MAX:
            self._count_refused()
            raise CannotApply(f"{ORDERS_MAX} changes wait: repeat the command in a moment")
        self._orders.append(order)
        self._came.set()

    async def run(self) -> None:
        """Reload, and carry out orders, whenever that is asked for, until cancelled."""
        while True:
            await self._came.wait()
            self._came = trio.Event()
            while self._orders or self._statistics.reloads_total < self._asked:
                await (self._carry_out(self._orders.popleft()) if self._orders else self._reload())

    async def _reload(self) -> None:
        self._is_under_way = True
        try:
            read = partial(self._files.reread, self.running)
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
                prepared = self._parts.prepare(difference.config)
            except CannotApply as error:
                problems.append(f"the old configuration stays in force: {error}")
                difference = None
            else:
                self._parts.apply(difference.config, found, prepared)
                self.running, self._loaded = difference.config, found.daemon
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

    async def _carry_out(self, order: Order) -> None:
        """Change the file and follow it: judged first, then prepared, written, and followed without fail."""
        try:
            done = await self._change(order)
        except (ConfigError, CannotApply, ThreadRefused) as error:
            self._count_refused()
            order.on_refused(str(error))
        else:
            done_total = self._statistics.export_changes_total + 1
            self._statistics = replace(self._statistics, export_changes_total=done_total)
            order.on_done(done)

    def _count_refused(self) -> None:
        refused_total = self._statistics.refused_export_changes_total + 1
        self._statistics = replace(self._statistics, refused_export_changes_total=refused_total)

    async def _change(self, order: Order) -> Done:
        edit, ends = order.edit, order.ends
        propose = partial(self._files.propose, edit, loaded=self._loaded, running=self.running)
        proposal = await run_in_thread(propose, abandon_on_cancel=True)
        difference = compare(self.running, proposal.daemon, ends=ends.name if ends else "")
        self._check_whole(difference)
        prepared = self._parts.prepare(difference.config, ends)
        try:
            write = partial(self._files.write, proposal)
            # Given up by a stop, it may yet end well: the next start goes by the file.
            unsynced = await run_in_thread(write, abandon_on_cancel=True)
        except BaseException:
            self._parts.cancel(prepared)
            raise
        self._parts.apply(difference.config, proposal.found, prepared)
        self.running, self._loaded = difference.config, proposal.daemon
        pending = tuple(each.as_pending() for each in difference.needs_restart)
        self._statistics = replace(self._statistics, needs_restart=pending)
        await self._parts.finish(prepared)
        notes = (*proposal.found.warnings, *prepared.notes, *([unsynced] if unsynced else []))
        is_changed = proposal.after != proposal.before or bool(difference.applied or prepared.cut)
        return Done(is_changed=is_changed, warnings=notes, dropped_pages=prepared.dropped_pages)

    def _check_whole(self, difference: Difference) -> None:
        """Raise CannotApply if something of a change, and not of an earlier one, would wait for a restart."""
        known = compare(self.running, self._loaded).needs_restart
        for each in difference.needs_restart:
            if each not in known:
                raise CannotApply(
                    f"{each.key} would wait for a restart (now {each.running}, then {each.wanted}): exports that are gone"
                    " from ramsterd.toml still run. Type `ramsterctl restart`, then repeat the command"
                )
