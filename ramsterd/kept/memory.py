"""The memory of one node, behind its keeper: mappings by name, how it stands, and what its numbers mean.

Memory that ends with the process goes the same way: its keeper keeps nothing.  A start that finds
memory *attaches* it, any other makes it anew.  From `make_store` on it is whole: what is used later
is noted in it before.  All of it blocks: the start for as long as it takes, all else for
microseconds.
"""

import errno
import os
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Final

from nodemanager.ids import Incarnation
from ramsterd.core.arena import FileMapping
from ramsterd.core.codec import CodecMissing
from ramsterd.core.family import Family
from ramsterd.core.store import Store
from ramsterd.core.versions import StoreLimits
from ramsterd.kept.attach import Attached, attach_store, fit_limits
from ramsterd.kept.journal import KeptJournal
from ramsterd.kept.keepers.keeper import DESCRIPTOR_PREFIX, Keeper, KeeperRefused
from ramsterd.kept.keepers.lock import lock_memory
from ramsterd.kept.layout import SUPER, SUPER_BYTES, layout_name
from ramsterd.kept.name_log import NAMES_BYTES, NameLog
from ramsterd.kept.names import DamagedNames, pool_ended, pool_gone
from ramsterd.kept.opening import Identity, open_kept
from ramsterd.kept.super_page import Header, Live, Owner, State, SuperPage, create

_NAMES: Final = "names"


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryStatistics:
    """Who keeps the memory of this node, and what this start found in it."""

    # As operators call it; empty: pages end with the process.
    keeper: str
    # What tells how its items look: `ramsterd check-config --layout` asks another release whether
    # it reads it.
    layout: str
    # When the memory was made, in seconds since 1970, and how often it was attached since then.
    made_timestamp_seconds: int
    attaches: int
    # Starts in a row, this one included, that have not shown that the memory is not what ends them.
    attempts: int
    # Why what the keeper had was given up at this start; empty if it was not.
    given_up: str
    # Pages that were adopted, wherever they are; and those that can't be vouched for any more, lost
    # or misses.
    adopted_pages: int
    broken_pages: int
    lost_pages: int
    lost_pools: int
    # How long the attach took.
    attach_seconds: float


class KeptMemory:
    """See the module's text."""

    def __init__(
        self,
        keeper: Keeper,
        identity: Identity,
        *,
        new_memory_id: Callable[[], bytes],
        now_seconds: int,
        discard: bool = False,
    ) -> None:
        """Open what the keeper has, or begin with nothing.

        Args:
            keeper: Who keeps it.
            identity: Whose it must be.
            new_memory_id: Returns a name that no memory ever had.
            now_seconds: Since 1970.
            discard: Give up what is there.

        Raises:
            MemoryTaken: Another process uses it.
            KeeperRefused: It can't be used, or is not ours to give up.
        """
        self._keeper = keeper
        self._identity = identity
        self._held = ExitStack()
        # What the keeper had and nobody has mapped yet.
        self._files: dict[str, int] = {}
        self._lengths: dict[str, int] = {}
        self._files_in_use: dict[str, FileMapping] = {}
        self._super: SuperPage | None
        self._log: NameLog | None
        self._super, self._log = None, None
        # What this start took up; None: nothing.
        self.attached: Attached | None = None
        # Whether the process that left it ended in order.
        self.was_clean = False
        try:
            self.given_up = self._open(discard=discard)
        except BaseException:
            self._held.close()
            raise
        header = self._header()
        self.memory_id = new_memory_id() if header is None else header.memory_id
        self._made_at = now_seconds if header is None else header.made_at

    def _open(self, *, discard: bool) -> str:
        """Open what is there; return why it was given up, or an empty text."""
        opened = open_kept(self._keeper, self._identity, self._held, discard=discard)
        if opened.super_page is None:
            return opened.given_up
        self._files, self._super = opened.files, opened.super_page
        # Mapped once more: the next program of this process inherits it, as all else.
        self._files_in_use[SUPER] = FileMapping(self._files.pop(SUPER), SUPER, SUPER_BYTES)
        self.was_clean = opened.was_clean
        try:
            self._log = self._open_log(opened.super_page.live.names_epoch)
        except DamagedNames as error:
            for fd in self._files.values():
                os.close(fd)
            self._files, self._super, self._lengths = {}, None, {}
            self._files_in_use.clear()
            self._keeper.discard()
            return f"the kept memory has damaged names: {error}"
        except OSError:
            # This machine is not ready for it, which does not count against the memory.
            self.end()
            raise
        return ""

    def _open_log(self, epoch: int) -> NameLog:
        return NameLog(self.map_memory(_NAMES, NAMES_BYTES), epoch, turn_to=self._turn_to)

    def _header(self) -> Header | None:
        return None if self._super is None else self._super.header

    @property
    def incarnation(self) -> Incarnation | None:
        """The incarnation that goes on; None: there is nothing to go on with."""
        return None if self._super is None else Incarnation(self._super.live.incarnation)

    @property
    def attaches(self) -> int:
        """How often this memory was attached, this start too."""
        return 0 if self._super is None else self._super.live.attaches

    def map_memory(self, name: str, length: int) -> FileMapping:
        """Map what was kept, at least as long as it was, or something new.

        Raises:
            KeeperRefused: It can't be kept.
            OSError: It can't be mapped.
        """
        fd = self._files.pop(name, None)
        if fd is None:
            fd = self._keeper.make(name, length)
        length = max(length, os.fstat(fd).st_size)
        mapping = FileMapping(fd, name, length, needs_reserve=self._keeper.needs_reserve)
        self._lengths[name] = len(mapping.view)
        self._files_in_use[name] = mapping
        return mapping

    @property
    def owner(self) -> Owner:
        """Which node it belongs to, as it is named in it."""
        return self._header() or self._identity

    @property
    def keeper(self) -> str:
        """Who keeps it, as operators call that; empty: nobody."""
        return self._keeper.description

    @property
    def warning(self) -> str:
        """What an operator should know of its keeper, as a line; empty: nothing."""
        return self._keeper.warning

    @property
    def folder(self) -> str:
        """Which folder keeps it; empty: none does."""
        return os.path.abspath(self._keeper.description) if self._keeper.has_paths else ""

    @property
    def outlives_process(self) -> bool:
        """Whether anybody keeps it when this process ends."""
        return bool(self._keeper.description)

    @property
    def outlives_stop(self) -> bool:
        """Whether anybody keeps it until a daemon that was stopped is started again."""
        return self._keeper.outlives_stop

    @property
    def descriptors(self) -> list[tuple[str, int]]:
        """Return the files that are found by no path, as the next program of this process inherits them."""
        if self._keeper.has_paths:
            return []
        return [
            (DESCRIPTOR_PREFIX + name, mapping.fileno())
            for name, mapping in self._files_in_use.items()
        ]

    def fault_in(self) -> None:
        """Have this process map all of it that is in memory."""
        for mapping in self._files_in_use.values():
            mapping.fault_in()

    # The store in it.

    def make_store(self, limits: StoreLimits, incarnation: Incarnation) -> Store:
        """Return the store that this memory has, or an empty one.

        `incarnation` is that of this node from now on.
        """
        if self._super is None:
            store = Store(self.map_memory, limits)
            self._log = self._open_log(0)
            self._super = self._create_super(incarnation)
        else:
            assert self._log is not None
            assert incarnation == self.incarnation
            self.attached = self._attach(limits, self._log, self._super.live.serial_limit)
            store = self.attached.store
            for pool in self.attached.ended_pools:
                self._log.note(pool_gone(pool))
        assert self._log is not None
        self.journal = KeptJournal(self._log)
        store.pools.journal = self.journal
        store.versions.limit_serials(self._super.live.serial_limit, self._super.reserve_serials)
        return store

    def _attach(self, limits: StoreLimits, log: NameLog, serial_limit: int) -> Attached:
        """Take up what was kept; a start that this machine is not ready for does not count against it.

        Raises:
            KeeperRefused: Something is missing here that its pages need.
            OSError: It can't be mapped.
        """
        lengths = {name: os.fstat(fd).st_size for name, fd in self._files.items()}
        try:
            return attach_store(
                self.map_memory,
                fit_limits(limits, lengths),
                names=log.names,
                serial_limit=serial_limit,
                on_damaged=lambda pool: log.note(pool_ended(pool)),
            )
        except (CodecMissing, OSError) as error:
            self.end()
            self.close()
            if isinstance(error, OSError):
                raise
            raise KeeperRefused(f"pages of the last run can't be read: {error}") from None

    def _create_super(self, incarnation: Incarnation) -> SuperPage:
        """Write the page by which all else counts, last."""
        fd = self._keeper.make(SUPER, SUPER_BYTES)
        self._held.callback(os.close, lock_memory(fd))
        mapping = self._files_in_use[SUPER] = FileMapping(fd, SUPER, SUPER_BYTES)
        if self._keeper.needs_reserve and not mapping.reserve(0, SUPER_BYTES):
            raise OSError(errno.ENOSPC, "no room for the first page of the memory")
        page = create(
            mapping.view,
            Header(
                memory_id=self.memory_id,
                boot_id=self._identity.boot_id,
                cluster=self._identity.cluster,
                node=self._identity.node,
                node_name=self._identity.node_name,
                made_at=self._made_at,
                lengths=self._lengths,
            ),
            Live(state=State.RUNNING, incarnation=incarnation, serial_limit=0),
        )
        self._keeper.finish()
        return page

    # How it stands.

    def note_incarnation(self, incarnation: Incarnation) -> None:
        """This node is another incarnation from now on."""
        self._write(replace(self._live, incarnation=incarnation))

    def on_served(self) -> None:
        """This start has shown that the memory is not what ends starts."""
        if self._live.attempts:
            self._write(replace(self._live, attempts=0))

    def end(self) -> None:
        """This process ends in order; nothing is stored in the memory any more."""
        attempts = max(0, self._live.attempts - 1)
        self._write(replace(self._live, state=State.CLEAN, attempts=attempts))

    def discard(self) -> None:
        """The pages end with this process, on purpose.

        Raises:
            KeeperRefused: They can't be given up.
        """
        self._keeper.discard()
        self._keeper.finish()

    def close(self) -> None:
        """Let another process have it."""
        self._held.close()
        self._keeper.close()

    def _turn_to(self, names_epoch: int) -> None:
        self._write(replace(self._live, names_epoch=names_epoch))

    @property
    def _live(self) -> Live:
        assert self._super is not None
        return self._super.live

    def _write(self, live: Live) -> None:
        assert self._super is not None
        self._super.write(live)

    def statistics(self, attach_seconds: float) -> MemoryStatistics:
        """Return a snapshot; the caller has measured how long the attach took."""
        attached = self.attached
        broken = Counter[Family]() if attached is None else attached.judgement.broken
        return MemoryStatistics(
            keeper=self._keeper.description,
            layout=layout_name(),
            made_timestamp_seconds=self._made_at,
            attaches=self.attaches,
            attempts=self._live.attempts,
            given_up=self.given_up,
            adopted_pages=0 if attached is None else attached.pages,
            broken_pages=broken.total(),
            lost_pages=broken[Family.OWN_PERSISTENT],
            lost_pools=0 if attached is None else len(attached.damaged),
            attach_seconds=attach_seconds,
        )
