"""`ramsterctl export reset` and `ramsterctl pool reset`: what is lost becomes blank."""

import logging
from collections.abc import Collection
from functools import partial
from typing import Protocol

from config.event_kinds import EventKind, about
from config.limits import USER_ID_MAX
from config.reader import show
from ramsterd.admin.socket import Command, CommandRefused
from ramsterd.statefile.content import NAME_BYTES_MAX, Key, PoolKey, describe
from ramsterd.statefile.marks import Marks

logger = logging.getLogger("ramster.commands")


class ExportNames(Protocol):
    """The exports of this node."""

    @property
    def names(self) -> Collection[str]:
        """Return those of the config."""
        ...

    @property
    def left_names(self) -> Collection[str]:
        """Return those that have pages of an earlier run, and are not in the config any more."""
        ...

    def drop_left(self, name: str) -> None:
        """Drop the pages of one of those."""
        ...


def state_commands(marks: Marks, exports: ExportNames) -> dict[str, Command]:
    """Return the commands by name."""
    resetting: dict[Key, None] = {}
    return {
        "export-reset": partial(reset_export, marks, exports, resetting),
        "pool-reset": partial(reset_pool, marks, resetting),
    }


def reset_export(
    marks: Marks,
    exports: ExportNames,
    resetting: dict[Key, None],
    request: dict[str, object],
) -> object:
    """Make the lost export `name` blank.

    One that is not in the config any more is forgotten, with its pages.

    It takes several calls: the first begins, and each says whether it is on disk.

    Raises:
        CommandRefused: It is not lost, or the state file can't be written.
    """
    name = request.get("name")
    if not isinstance(name, str):
        raise CommandRefused(f"name: found {show(name)}, expected the name of an export")
    lost = (loss.name for loss in marks.losses() if loss.user is None)
    names = {*exports.names, *exports.left_names, *lost}
    if name not in names and name not in resetting:
        known = ", ".join(sorted(names)) or "none"
        raise CommandRefused(f"no export {show(name)}; there are: {known}")
    if name in exports.left_names:
        exports.drop_left(name)
        resetting[name] = None
        logger.warning(
            "an operator has reset export %s, which is not in the config: its pages are dropped",
            name,
            extra=about(EventKind.EXPORT_RESET, export=name),
        )
    return _reset(marks, resetting, name)


def reset_pool(marks: Marks, resetting: dict[Key, None], request: dict[str, object]) -> object:
    """Make the lost pool `name` of the user id `user` empty, as `reset_export` does.

    Raises:
        CommandRefused: It is not lost, or the state file can't be written.
    """
    user, name = request.get("user"), request.get("name")
    if isinstance(user, bool) or not isinstance(user, int) or not 0 <= user <= USER_ID_MAX:
        raise CommandRefused(f"user: found {show(user)}, expected a user id")
    is_name = isinstance(name, str) and name.isprintable() and len(name) <= NAME_BYTES_MAX
    if not isinstance(name, str) or not is_name:
        raise CommandRefused(f"name: found {show(name)}, expected the name of a pool")
    return _reset(marks, resetting, PoolKey(user, name))


def _reset(marks: Marks, resetting: dict[Key, None], key: Key) -> object:
    if marks.reset(key):
        resetting[key] = None
        extra = (
            about(EventKind.EXPORT_RESET, export=key)
            if isinstance(key, str)
            else about(EventKind.POOL_RESET, pool=key.name, user=key.user)
        )
        logger.warning("an operator has reset %s: it is blank now", describe(key), extra=extra)
    if key not in resetting:
        raise CommandRefused(
            f"{describe(key)} is not lost: nothing has changed. {_how_to_empty(key)}"
        )
    if problem := marks.statistics().problem:
        raise CommandRefused(
            f"{describe(key)} is lost again after a restart: it is blank now, but the state file can't be written: {problem}"
        )
    if marks.is_written:
        del resetting[key]
    return {"state": "resetting" if key in resetting else "blank"}


def _how_to_empty(key: Key) -> str:
    """Return what empties an export or pool that is in order."""
    if isinstance(key, str):
        return f"To empty it, discard its pages: `ramsterctl nbd attach {key} /dev/nbd0`, then `blkdiscard /dev/nbd0`"
    return "To empty it, have its program destroy it"
