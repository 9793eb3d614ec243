"""The exports of this node: made from the file at the start, and changed as the file is.

A change has two steps.  `prepare` judges it and does all that may fail; then either `follow` makes
it, which can't fail, or `cancel` leaves all as it was.  New exports come and others grow with any
change of the file; one goes or shrinks only where an operator ends it by name (`Ends`).

What the state file knows of an export holds for a new one, too: if one of its name was lost, it is
closed.
"""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

import trio

from config.event_kinds import EventKind, about
from config.limits import EXPORT_BYTES_MAX
from config.model import Durability, ExportConfig, OnLoss
from config.units import format_bytes, human_count
from ramsterd.core.page import PoolId, PoolKind
from ramsterd.core.pool_identity import export_pool
from ramsterd.core.pools import PoolsExhausted
from ramsterd.frontends.nbd.export import Export
from ramsterd.frontends.pager import Pager
from ramsterd.observe.snapshot import ExportSnapshot
from ramsterd.reconfigure.ends import Ends, has_pages_beyond, judge_end
from ramsterd.reconfigure.errors import CannotApply
from ramsterd.statefile.marks import Loss, Mark, Marks, explain

logger = logging.getLogger("ramster.daemon")

# All pages of an export belong to one object.
EXPORT_OBJECT: Final = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A change of the exports that can't fail any more."""

    configs: tuple[ExportConfig, ...]
    # By name.
    new: Mapping[str, Export]
    # The export that goes or shrinks: nobody may open it until that is over; empty: none does.
    shut: str = ""
    # The export whose pages beyond its new size are dropped then; empty: of none.
    cut: str = ""
    # How many pages go with the export that goes: nobody writes to it any more.
    dropped_pages: int = 0
    # What an operator should know, a line each.
    notes: tuple[str, ...] = ()


class PageCounts(Protocol):
    """Counts the pages of a pool; the store does."""

    def pages_of(self, pool_id: PoolId) -> int:
        """Return how many there are."""
        ...

    def lost_pages_of(self, pool_id: PoolId) -> int:
        """Return how many of them are lost now, at most."""
        ...


class Exports:
    """Each with a pool of its own."""

    def __init__(
        self,
        pager: Pager,
        marks: Marks,
        configs: Sequence[ExportConfig],
        follow: Callable[[Mark, PoolId], None] = lambda _mark, _pool: None,
    ) -> None:
        """Make those of the config; `follow` is told which mark is of which pool."""
        self._pager = pager
        self._follow = follow
        self._marks = marks
        self._configs = tuple(configs)
        self._by_name = {config.name: self._new(config) for config in configs}

    @property
    def all(self) -> tuple[Export, ...]:
        """Return all exports, in the order in which they came."""
        return tuple(self._by_name.values())

    @property
    def names(self) -> Collection[str]:
        """Return their names, those of later exports too."""
        return self._by_name.keys()

    def snapshots(self, store: PageCounts) -> tuple[ExportSnapshot, ...]:
        """Return how each stands."""
        swap = {config.name for config in self._configs if config.swap}
        return tuple(
            ExportSnapshot(
                name=export.name,
                size_bytes=export.size,
                pages=store.pages_of(export.pool),
                unreadable_pages=store.lost_pages_of(export.pool),
                is_swap=export.name in swap,
                state=export.mark.state,
                lost_at=export.mark.lost_at,
            )
            for export in self.all
        )

    def blank_scratch(self, names: Collection[str] | None = None) -> None:
        """Let the lost exports that the file calls scratch disks be blank.

        All of them, or those of these names.
        """
        for config in self._configs:
            if config.on_loss is not OnLoss.BLANK or (
                names is not None and config.name not in names
            ):
                continue
            if self._marks.reset(config.name):
                logger.warning(
                    'export %s is blank (on_loss = "blank"): its pages ended with the last run of ramsterd',
                    config.name,
                    extra=about(EventKind.EXPORT_BLANK, export=config.name),
                )

    @property
    def left_names(self) -> Collection[str]:
        """Return those that have pages of an earlier run, and are not in the config any more."""
        return [each.identity.name for each in self._pager.left_exports()]

    def drop_left(self, name: str) -> None:
        """Drop the pages of one of those."""
        for pool in self._pager.left_exports():
            if pool.identity.name == name:
                self._pager.drop_pool(pool.pool)
        # Made just now, it is set if the file names it.
        self._marks.of(name).clear()

    def say_losses(self) -> None:
        """Tell the log what is lost, also of pools, and of exports that the file does not have any more."""
        for loss in self._marks.losses():
            _say_loss(loss, self.names)
        for pool in self._pager.left_exports():
            name = pool.identity.name
            logger.warning(
                "export %s is not in the config any more: its %s stay, until it is there again, or `ramsterctl export reset %s`"
                " drops them",
                name, human_count(pool.tally.pages), name,
                extra=about(EventKind.EXPORT_LEFT, export=name, pages=pool.tally.pages),
            )  # fmt: skip

    def clear_emptied(self) -> None:
        """Note which have no page any more, while nobody writes: they are blank, and not lost after a restart."""
        for export in self.all:
            if export.mark.is_set and not self._pager.objects_of(export.pool):
                export.mark.clear()

    def prepare(
        self,
        configs: Sequence[ExportConfig],
        ends: Ends | None = None,
        *,
        clients_of: Callable[[str], int] = lambda _: 0,
        nbd_socket: str = "",
    ) -> Prepared:
        """Return the change to these; `follow` or `cancel` comes next.

        Raises:
            CannotApply: There can't be so many, or what ends has clients, or pages that nobody
                gives up; nothing has changed.
        """
        wanted = {config.name: config.size for config in configs}
        ended = [each.name for each in self.all if wanted.get(each.name, 0) < each.size]
        assert not ended or (ends is not None and ended == [ends.name]), (
            "config.differences keeps them"
        )
        notes: list[str] = []
        cut, dropped_pages = "", 0
        if ends is not None and (export := self._by_name.get(ends.name)) is not None:
            size = wanted.get(ends.name, 0)
            clients = clients_of(ends.name)
            judge_end(self._pager, export, size, ends, clients=clients, nbd_socket=nbd_socket)
            notes += self._say_what_shows(export, size)
            notes += [] if size else self._say_default(export)
            cut = ends.name if size and ends.is_forced else ""
            dropped_pages = 0 if size else self._pager.pages_of(export.pool)
        new = self._make([each for each in configs if each.name not in self._by_name])
        blank = {each.name for each in configs if each.on_loss is OnLoss.BLANK}
        for export in new.values():
            pages = self._pager.pages_of(export.pool)
            notes += [_say_what_was_left(export, pages)] if pages else []
            notes += (
                [export.lost_reason] if export.mark.is_lost and export.name not in blank else []
            )
        return Prepared(
            configs=tuple(configs),
            new=new,
            shut=ended[0] if ended else "",
            cut=cut,
            dropped_pages=dropped_pages,
            notes=tuple(notes),
        )

    def _say_what_shows(self, export: Export, size: int) -> list[str]:
        if size <= export.size or not has_pages_beyond(self._pager, export, export.size):
            return []
        behind = f"pages beyond {format_bytes(export.size)}, of a time when it was larger"
        return [f"export {export.name} has {behind}: clients read them again"]

    def _say_default(self, gone: Export) -> list[str]:
        """Return what clients get that name no export, if that is another export now."""
        first, *others = self.all
        if gone.name != first.name or not others:
            return []
        return [f"clients that name no export now get {others[0].name}"]

    def follow(self, prepared: Prepared) -> None:
        """Make a change; no export that goes has a client.

        Clients that are connected to one that grows go on with the size they were told.
        """
        new, configs = prepared.new, prepared.configs
        for name in self._by_name.keys() - {each.name for each in configs}:
            self._remove(name)
        self._configs = configs
        for config in configs:
            export = new.get(config.name) or self._by_name[config.name]
            self._by_name[config.name] = replace(
                export, size=config.size, description=config.description
            )
            self._pager.set_outwaits(export.pool, outwaits=config.waits_for_unreachable)
        self.blank_scratch(new)
        for loss in self._marks.losses():
            if loss.name in new and loss.user is None:
                _say_loss(loss, new)

    def _remove(self, name: str) -> None:
        export = self._by_name.pop(name)
        # Before its mark is cleared: a process that is killed in between must not leave pages that
        # no mark tells of.
        self._pager.drop_pool(export.pool)
        export.mark.forget()

    def cancel(self, prepared: Prepared) -> None:
        """Leave all as it was."""
        for export in prepared.new.values():
            self._pager.give_back(export.pool)

    async def drop_beyond(self, name: str) -> None:
        """Drop the pages beyond the size of an export, as a TRIM does."""
        export, client = self._by_name[name], self._pager.open_client()
        try:
            for _ in export.trim(client, export.size, EXPORT_BYTES_MAX - export.size):
                self._pager.settle()
                await trio.lowlevel.checkpoint()
            self._pager.settle()
        finally:
            client.close()

    def _make(self, configs: Sequence[ExportConfig]) -> dict[str, Export]:
        """Return new exports; if there is no pool for one of them, there is none for any."""
        made: dict[str, Export] = {}
        for config in configs:
            try:
                made[config.name] = self._new(config)
            except PoolsExhausted as error:
                for export in made.values():
                    self._pager.give_back(export.pool)
                raise CannotApply(f"export {config.name}: {error}") from None
        return made

    def _new(self, config: ExportConfig) -> Export:
        mark = self._marks.of(config.name)
        pool = self._pager.new_pool(
            PoolKind.PERSISTENT,
            export_pool(config.name),
            copies=config.copies,
            is_replicated=config.durability is Durability.REPLICATED,
            outwaits=config.waits_for_unreachable,
            codec=config.codec,
        )
        self._follow(mark, pool)
        return Export(
            name=config.name,
            size=config.size,
            description=config.description,
            is_read_only=config.read_only,
            is_replicated=config.durability is Durability.REPLICATED,
            pool=pool,
            object_id=EXPORT_OBJECT,
            mark=mark,
        )


def _say_what_was_left(export: Export, pages: int) -> str:
    return (
        f"export {export.name} has {human_count(pages)} that an earlier export of this name has left;"
        f" to begin without them: `ramsterctl export remove {export.name} --force`, and add it again"
    )


def _say_loss(loss: Loss, exports: Collection[str]) -> None:
    extra = (
        about(EventKind.EXPORT_LOST, export=loss.name)
        if loss.user is None
        else about(EventKind.POOL_LOST, pool=loss.name, user=loss.user)
    )
    logger.warning("%s", explain(loss, exports), extra=extra)
