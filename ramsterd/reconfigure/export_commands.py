"""`ramsterctl export add`, `remove` and `resize`: an order each, and what became of it.

Each takes several calls: the first gives the order a number, and `export-change` says how that one
stands.  Numbers begin anew with each run of the daemon, so `run` goes with a number.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from config.errors import ConfigError, Mismatch
from config.event_kinds import EventKind, about
from config.export_edits import AddExport, ExportEdit, RemoveExport, ResizeExport
from config.kinds import Size
from config.limits import EXPORT_BYTES_MAX, PAGE_BYTES
from config.model import ExportConfig
from config.reader import read_plain, show
from config.units import format_bytes, human_count
from ramsterd.admin.socket import Command, CommandRefused
from ramsterd.admin.state_commands import ExportNames
from ramsterd.observe.snapshot import ExportSnapshot, to_plain
from ramsterd.reconfigure.ends import Ends
from ramsterd.reconfigure.errors import CannotApply
from ramsterd.reconfigure.reload import ORDERS_MAX, Done, Order

logger = logging.getLogger("ramster.commands")

# Who asks for the outcome of an older one is told that it is not known any more.
CHANGES_KEPT_MAX: Final = 64
assert CHANGES_KEPT_MAX > ORDERS_MAX + 1, "one that waits, or is carried out, is not forgotten"
_SIZE: Final = Size(PAGE_BYTES, EXPORT_BYTES_MAX, step=PAGE_BYTES)
# What an export is after each kind of order, in one word.
_STATES: Final = {AddExport: "added", RemoveExport: "removed", ResizeExport: "resized"}


class ExportChanges:
    """The orders of operators on exports, by their numbers."""

    def __init__(
        self,
        order: Callable[[Order], None],
        exports: ExportNames,
        snapshots: Callable[[], tuple[ExportSnapshot, ...]],
        *,
        run: str,
    ) -> None:
        """Wire it.

        Args:
            order: Has an order carried out soon.
            exports: Those of this node.
            snapshots: Returns how each of them stands.
            run: Tells the runs of the daemon apart.
        """
        self._run = run
        self._order = order
        self._exports = exports
        self._snapshots = snapshots
        self._last = 0
        # What there is now; a text: why it was refused; None: it is under way.
        self._outcomes: OrderedDict[int, dict[str, object] | str | None] = OrderedDict()

    @property
    def known(self) -> int:
        """Of how many orders the outcome can be asked for."""
        return len(self._outcomes)

    def commands(self) -> dict[str, Command]:
        """Return the commands by name."""
        return {
            "export-add": self.add,
            "export-remove": self.remove,
            "export-resize": self.resize,
            "export-change": self.outcome,
        }

    def add(self, request: dict[str, object]) -> object:
        """Begin to add `export`, an object with the keys of an [[export]] table.

        Raises:
            CommandRefused: It breaks a rule of the file, or too many orders wait; nothing has
                changed.
        """
        table = request.get("export")
        try:
            export = read_plain(table, ExportConfig, file="the new export", folder=Path())
        except ConfigError as error:
            raise CommandRefused(str(error)) from None
        return self._begin(AddExport(export), None)

    def remove(self, request: dict[str, object]) -> object:
        """Begin to remove the export `name`; with `force` also with its pages.

        Raises:
            CommandRefused: There is none, or too many orders wait; nothing has changed.
        """
        name = self._name(request)
        return self._begin(RemoveExport(name), Ends(name, is_forced=request.get("force") is True))

    def resize(self, request: dict[str, object]) -> object:
        """Begin to give the export `name` another `size`; with `force` also if pages are dropped.

        Raises:
            CommandRefused: There is none, it is no size, or too many orders wait; nothing has
                changed.
        """
        name, found = self._name(request), request.get("size")
        try:
            size = _SIZE.read(found, Path())
        except Mismatch as mismatch:
            raise CommandRefused(f"size: found {show(found)}, expected {mismatch}") from None
        ends = Ends(name, is_forced=request.get("force") is True)
        return self._begin(ResizeExport(name, size), ends)

    def outcome(self, request: dict[str, object]) -> object:
        """Return what became of the order `change` of a `run`.

        Raises:
            CommandRefused: It was refused, and nothing has changed; or nobody knows such an order.
        """
        number, run = request.get("change"), request.get("run")
        if not isinstance(run, str):
            raise CommandRefused(f"run: found {show(run)}, expected the run that the change has")
        if run != self._run:
            raise CommandRefused(
                "ramsterd has restarted since the change began, and does not know its outcome:"
                " `ramsterctl exports` shows which exports there are now"
            )
        # In JSON, true is no number.
        if type(number) is not int or number not in self._outcomes:
            raise CommandRefused(
                f"change: found {show(number)}, expected the number of a change since the start of the daemon:"
                " `ramsterctl exports` shows which exports there are"
            )
        outcome = self._outcomes[number]
        if isinstance(outcome, str):
            raise CommandRefused(f"nothing has changed: {outcome}")
        return {"state": "applying"} if outcome is None else outcome

    def _name(self, request: dict[str, object]) -> str:
        name = request.get("name")
        if isinstance(name, str) and name in self._exports.names:
            return name
        if isinstance(name, str) and name in self._exports.left_names:
            raise CommandRefused(
                f"export {name} is not in ramsterd.toml, but has pages of an earlier time:"
                f" `ramsterctl export reset {name}` drops them"
            )
        known = ", ".join(sorted(self._exports.names)) or "none"
        raise CommandRefused(f"no export {show(name)}; there are: {known}")

    def _begin(self, edit: ExportEdit, ends: Ends | None) -> object:
        number = self._last + 1
        order = Order(
            edit=edit,
            ends=ends,
            on_done=partial(self._on_done, number, edit),
            on_refused=partial(self._on_refused, number),
        )
        try:
            self._order(order)
        except CannotApply as error:
            raise CommandRefused(str(error)) from None
        self._last = number
        self._outcomes[number] = None
        if len(self._outcomes) > CHANGES_KEPT_MAX:
            self._outcomes.popitem(last=False)
        return {"change": number, "run": self._run}

    def _on_refused(self, number: int, reason: str) -> None:
        logger.info("a change of exports is refused, and nothing has changed: %s", reason)
        self._note(number, reason)

    def _on_done(self, number: int, edit: ExportEdit, done: Done) -> None:
        if done.is_changed:
            _say(edit, done)
        now = next((each for each in self._snapshots() if each.name == edit.name), None)
        outcome = {
            "state": _STATES[type(edit)],
            "is_changed": done.is_changed,
            "name": edit.name,
            "export": None if now is None else to_plain(now),
            "warnings": list(done.warnings),
        }
        self._note(number, outcome)

    def _note(self, number: int, outcome: dict[str, object] | str) -> None:
        if number in self._outcomes:
            self._outcomes[number] = outcome


def _say(edit: ExportEdit, done: Done) -> None:
    """Tell the log what an operator has done."""
    name = edit.name
    match edit:
        case AddExport(export):
            logger.info(
                "an operator has added export %s, %s", name, format_bytes(export.size),
                extra=about(EventKind.EXPORT_ADDED, export=name, size_bytes=export.size),
            )  # fmt: skip
        case RemoveExport():
            pages = done.dropped_pages
            logger.warning(
                "an operator has removed export %s, and %s with it", name, human_count(pages),
                extra=about(EventKind.EXPORT_REMOVED, export=name, pages=pages),
            )  # fmt: skip
        case ResizeExport(_, size):
            logger.info(
                "an operator has resized export %s to %s", name, format_bytes(size),
                extra=about(EventKind.EXPORT_RESIZED, export=name, size_bytes=size),
            )  # fmt: skip
