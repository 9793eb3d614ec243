"""What a changed `ramsterd.toml` asks of a running daemon: which keys are applied at once, which need a restart.  Pure.

Every key of the model stands in one of two sets here; a test sees to it.  Keys that a rule ties
together (`config.rules`) are in the same set, so that what runs after a reload keeps the rules,
too.

Exports are told apart by their names: one that is new or has grown is applied, one that is gone or
has shrunk still has pages and clients, so it stays until a restart; unless an operator ends it by
name (`ramsterctl export`).
"""

import dataclasses
import enum
import typing
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar, cast

from config.kinds import Size, SizeOrShare
from config.limits import EXPORTS_MAX
from config.model import DaemonConfig, ExportConfig
from config.reader import show
from config.shares import describe_size

T = TypeVar("T")

APPLIED: Final = frozenset(
    {
        "memory.high_watermark", "memory.low_watermark",
        "memory.foreign_fraction_max", "memory.foreign_owner_bytes_max", "memory.tables_max",
        "remote.foreign_bytes_per_second", "remote.repatriate_pages_per_second",
        "remote.rebuild_pages_per_second", "remote.read_ahead_bytes_max",
        "nbd.connections_max",
        # Not to a smaller one, which would cut off pages that clients have.
        "export.size",
        "export.description",
        # Of the next start, which is when something may be lost.
        "export.on_loss",
        "memory.reserve", "export.swap", "export.on_unreachable", "remote.unreachable_seconds_max",
        "tmem.connections_max", "tmem.users", "tmem.pool_pages_max", "tmem.user_pages_max",
        "tmem.user_objects_max", "tmem.pools_per_user_max",
        "log.format", "log.level", "log.subsystems",
        # Of both, what the files hold is read again at each reload.  To begin or to end using them
        # needs a restart.
        "tls.ca", "tls.certificate", "tls.key", "heartbeat_key",
        "stop_seconds_max",
    }
)  # fmt: skip
NEEDS_RESTART: Final = frozenset(
    {
        "node", "cluster", "tls", "state_dir", "poll_microseconds_max",
        # `ramsterctl memory set` changes the budget meanwhile.
        "memory.budget", "memory.budget_max", "memory.pages_max", "memory.keep", "memory.lock",
        # Timers and windows stand in many requests that are under way.
        "remote.copies", "remote.copies_min", "remote.ephemeral", "remote.request_seconds_max", "remote.fetch_seconds_max",
        "remote.put_wait_seconds_max", "remote.puts_in_flight_max", "remote.gets_in_flight_max",
        "remote.refusal_seconds", "remote.repatriate_seconds", "remote.orphan_seconds",
        "nbd.socket", "nbd.listen", "tmem.socket", "control.socket", "metrics.listen",
        "export.name", "export.read_only", "export.durability", "export.copies", "export.codec",
    }
)  # fmt: skip
HINTS: Final = {"memory.budget": "`ramsterctl memory set` changes it until then"}
# A key whose table or file may be absent: to begin or to end using it needs a restart.
_MAY_BE_ABSENT: Final = frozenset({"tls", "heartbeat_key"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """One key: what runs, and what the file says now."""

    key: str
    running: str
    wanted: str

    def as_applied(self) -> str:
        """Return it as people read it, applied."""
        return f"{self.key}: {self.wanted}, was {self.running}"

    def as_pending(self) -> str:
        """Return it as people read it, to be applied by a restart."""
        hint = f" ({HINTS[self.key]})" if self.key in HINTS else ""
        return f"{self.key}: {self.running}, in the file {self.wanted}{hint}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What becomes of a changed file."""

    # What runs from now on: as before, but for what is applied.
    config: DaemonConfig
    applied: tuple[Changed, ...]
    needs_restart: tuple[Changed, ...]


def compare(running: DaemonConfig, wanted: DaemonConfig, *, ends: str = "") -> Difference:
    """Return what of a changed file can be applied.  Both were judged.

    `ends` names the export that may go or shrink; empty: none may.
    """
    comparison = _Comparison(ends)
    config = comparison.merge(running, wanted, "")
    return Difference(
        config=config,
        applied=tuple(comparison.applied),
        needs_restart=tuple(comparison.needs_restart),
    )


class _Comparison:
    def __init__(self, ends: str) -> None:
        self._ends = ends
        self.applied: list[Changed] = []
        self.needs_restart: list[Changed] = []

    def merge(self, running: T, wanted: T, path: str, shown: str = "") -> T:
        """Return `running` with what is applied; note every key that differs.

        Args:
            running: A table of the model.
            wanted: The same from the file.
            path: The key of the table, as the sets above have it.
            shown: The same as people read it: exports by name.
        """
        taken: dict[str, object] = {}
        sizes = _size_keys(type(running))
        for each in dataclasses.fields(cast("Any", running)):
            key = f"{path}{each.name}"
            ours, theirs = getattr(running, each.name), getattr(wanted, each.name)
            if key == "export":
                taken[key] = self._merge_exports(ours, theirs)
            elif dataclasses.is_dataclass(ours) and dataclasses.is_dataclass(theirs):
                taken[each.name] = self.merge(ours, theirs, f"{key}.", f"{key}.")
            elif ours != theirs:
                is_size = each.name in sizes
                changed = Changed(
                    key=f"{shown or path}{each.name}",
                    running=_text(ours, is_size=is_size),
                    wanted=_text(theirs, is_size=is_size),
                )
                is_cut = key == "export.size" and shown == f"export.{self._ends}."
                is_applied = is_cut or _can_be_applied(key, ours, theirs)
                (self.applied if is_applied else self.needs_restart).append(changed)
                if is_applied:
                    taken[each.name] = theirs
        return cast("T", replace(cast("Any", running), **taken))

    def _merge_exports(
        self, running: tuple[ExportConfig, ...], wanted: tuple[ExportConfig, ...]
    ) -> tuple[ExportConfig, ...]:
        theirs = {export.name: export for export in wanted}
        merged = []
        for export in running:
            shown = f"export.{export.name}"
            if (other := theirs.pop(export.name, None)) is None:
                gone = Changed(key=shown, running="there", wanted="gone")
                is_ended = export.name == self._ends
                (self.applied if is_ended else self.needs_restart).append(gone)
                merged += [] if is_ended else [export]
            else:
                merged.append(self.merge(export, other, "export.", f"{shown}."))
        for export in theirs.values():
            size = describe_size(export.size)
            new = Changed(key=f"export.{export.name}", running="absent", wanted=size)
            # Those that are gone from the file still take a place.
            is_applied = len(merged) < EXPORTS_MAX
            (self.applied if is_applied else self.needs_restart).append(new)
            merged += [export] if is_applied else []
        return tuple(merged)


def _can_be_applied(key: str, ours: object, theirs: object) -> bool:
    if key in _MAY_BE_ABSENT and None in {ours, theirs}:
        return False
    if key == "export.size":
        assert isinstance(ours, int)
        assert isinstance(theirs, int)
        return theirs > ours
    return key in APPLIED


def _size_keys(model: type) -> set[str]:
    """Return the keys of one table whose numbers are bytes."""
    hints = typing.get_type_hints(model, include_extras=True)
    return {
        name
        for name, hint in hints.items()
        if isinstance(getattr(hint, "__metadata__", (None,))[0], Size | SizeOrShare)
    }


def _text(value: object, *, is_size: bool) -> str:
    """Return a value as people read it."""
    match value:
        case dict():
            return ", ".join(f"{key} = {each}" for key, each in value.items()) or "none"
        case tuple():
            return ", ".join(str(each) for each in value) or "none"
        case int() if is_size:
            return describe_size(value)
        case None:
            return "absent"
        case _ if dataclasses.is_dataclass(value):
            return "there"
        case _:
            return show(value.value if isinstance(value, enum.StrEnum) else value)
