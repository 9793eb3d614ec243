"""Exports that come, grow, shrink and go while the daemon runs."""

from collections.abc import Sequence
from typing import Any

import pytest

from config.model import ExportConfig, OnLoss, OnUnreachable
from ramsterd.core.extents import PageStatus
from ramsterd.core.page import PoolKind
from ramsterd.core.pool_identity import PoolIdentity, export_pool
from ramsterd.core.pools import Pools, PoolsExhausted
from ramsterd.frontends.pager import Dropped
from ramsterd.reconfigure.ends import Ends
from ramsterd.reconfigure.errors import CannotApply
from ramsterd.reconfigure.exports import Exports
from ramsterd.statefile.content import Content, Record
from ramsterd.statefile.marks import Marks, MarkState

GENERATION = "0" * 32


class FakePager:
    """Has so many pools."""

    def __init__(self, pools_max: int) -> None:
        self.pools_max = pools_max
        self.pools: dict[int, str] = {}
        self.last = 0
        # Pools that have pages.
        self.used: set[int] = set()
        self.left: list[Any] = []
        # Those whose requests outwait unreachable nodes.
        self.outwaiting: set[int] = set()
        # The pages of each pool, by index.
        self.pages: dict[int, set[int]] = {}
        self.dropped: list[int] = []
        self.settled = 0
        self.clients = 0

    def pages_of(self, pool: int) -> int:
        return len(self.pages.get(pool, ()))

    def drop_pool(self, pool: int) -> None:
        del self.pools[pool]
        self.dropped.append(pool)

    def open_client(self) -> "FakePager":
        self.clients += 1
        return self

    def close(self) -> None:
        self.clients -= 1

    def status(
        self, pool: int, _: bytes, index: int, count: int, *, runs_max: int
    ) -> list[tuple[PageStatus, int]]:
        behind = sorted(page - index for page in self.pages.get(pool, ()) if page >= index)
        assert runs_max == 1
        if behind and not behind[0]:
            return [(PageStatus.DATA, 1)]
        return [(PageStatus.HOLE, min([count, 1 << 32, *behind]))]

    def drop(self, pool: int, _: bytes, index: int, count: int, *, pages_max: int) -> Dropped:
        reach = min(count, max(pages_max, 1 << 32))
        kept = {page for page in self.pages[pool] if not index <= page < index + reach}
        dropped = len(self.pages[pool]) - len(kept)
        self.pages[pool] = kept
        return Dropped(reach, dropped)

    def settle(self) -> None:
        self.settled += 1

    def objects_of(self, pool: int) -> int:
        return pool in self.used

    def left_exports(self) -> list[Any]:
        return self.left

    def set_outwaits(self, pool: int, *, outwaits: bool) -> None:
        (self.outwaiting.add if outwaits else self.outwaiting.discard)(pool)

    def new_pool(self, kind: object, identity: PoolIdentity, *, outwaits: bool, **_: object) -> int:
        if len(self.pools) == self.pools_max:
            raise PoolsExhausted("no more pools")
        self.last += 1
        self.pools[self.last] = identity.label
        self.set_outwaits(self.last, outwaits=outwaits)
        return self.last

    def give_back(self, pool: int) -> None:
        del self.pools[pool]


def marks(*lost: str) -> Marks:
    content = Content(1, {name: Record(GENERATION, 7) for name in lost})
    return Marks(content, new_generation=lambda: GENERATION, started_at=9)


def configs(**sizes: int) -> list[ExportConfig]:
    return [ExportConfig(name=name, size=size) for name, size in sizes.items()]


def exports_of(pager: FakePager, lost: Marks, **sizes: int) -> Exports:
    fake: Any = pager
    return Exports(fake, lost, configs(**sizes))


def change(exports: Exports, wanted: Sequence[ExportConfig]) -> None:
    """Follow a file that was changed by hand."""
    exports.follow(exports.prepare(wanted))


def shown(exports: Exports) -> list[tuple[str, int, int]]:
    return [(each.name, each.size, int(each.pool)) for each in exports.all]


def test_those_there_are_keep_their_pools_and_may_grow() -> None:
    exports = exports_of(FakePager(9), marks(), a=4096, b=4096)
    names = exports.names
    first = exports.all[0].mark
    assert shown(exports) == [("a", 4096, 1), ("b", 4096, 2)]
    change(exports, configs(a=8192, b=4096, c=4096))
    assert shown(exports) == [("a", 8192, 1), ("b", 4096, 2), ("c", 4096, 3)]
    assert exports.all[0].mark is first
    assert list(names) == ["a", "b", "c"], "an earlier asker sees the new one too"


def test_without_pools_for_all_nothing_changes() -> None:
    pager = FakePager(3)
    exports = exports_of(pager, marks(), a=4096)
    before = exports.all
    with pytest.raises(CannotApply, match="export d: no more pools"):
        exports.prepare(configs(a=8192, b=4096, c=4096, d=4096))
    assert exports.all == before
    assert pager.pools == {1: "a"}


def test_none_goes_that_no_operator_ends() -> None:
    exports = exports_of(FakePager(3), marks(), a=4096)
    with pytest.raises(AssertionError, match=r"config\.differences keeps them"):
        exports.prepare([])


def test_a_new_export_whose_name_was_lost_is_closed(caplog: pytest.LogCaptureFixture) -> None:
    """It went from the file and came back: what its clients had is gone, and no zeros are to be served for it."""
    exports = exports_of(FakePager(3), marks("a", "b", "x"), a=4096)
    change(exports, configs(a=4096, b=4096))
    assert exports.all[1].mark.is_lost
    (line,) = caplog.messages
    assert line == (
        "the pages of export b ended with the last run of ramsterd; it stays closed until"
        " `ramsterctl export reset b` makes it blank"
    )


def test_a_new_scratch_disk_is_blank_and_an_old_one_waits_for_a_start(
    caplog: pytest.LogCaptureFixture,
) -> None:
    exports = exports_of(FakePager(3), marks("a", "b"), a=4096)
    scratch = [ExportConfig(name=name, size=4096, on_loss=OnLoss.BLANK) for name in ("a", "b")]
    change(exports, scratch)
    assert [each.mark.is_lost for each in exports.all] == [True, False]
    assert len(caplog.messages) == 1
    exports.blank_scratch()
    assert [each.mark.is_lost for each in exports.all] == [False, False]


def test_an_export_without_pages_is_blank_again_and_one_with_pages_is_not() -> None:
    pager, known = FakePager(3), marks()
    followed: list[tuple[str, int]] = []
    fake: Any = pager
    exports = Exports(
        fake,
        known,
        configs(a=4096, b=4096),
        lambda mark, pool: followed.append((mark.key, pool)),  # type: ignore[arg-type]
    )
    assert followed == [("a", 1), ("b", 2)]
    for export in exports.all:
        export.mark.wait_set(lambda _: None)
    while known.next_write(now=0) is not None:
        known.on_written("", now=0)
    assert [each.mark.state for each in exports.all] == [MarkState.USED, MarkState.USED]
    pager.used = {2}
    exports.clear_emptied()
    assert [each.mark.state for each in exports.all] == [MarkState.BLANK, MarkState.USED]


def test_what_is_lost_is_told_and_so_are_pages_of_exports_that_left_the_config(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pager = FakePager(3)
    pool = Pools().new(PoolKind.PERSISTENT, export_pool("old"))
    pool.tally.pages = 7
    pager.left = [pool]
    exports = exports_of(pager, marks("a", "gone"), a=4096)
    exports.say_losses()
    lost, gone, left = caplog.messages
    assert "`ramsterctl export reset a` makes it blank" in lost
    assert "`ramsterctl export reset gone` forgets it" in gone
    assert left.startswith("export old is not in the config any more: its 7 pages stay")
    assert exports.left_names == ["old"]


def test_a_reload_says_anew_which_exports_outwait_unreachable_nodes() -> None:
    pager: Any = FakePager(3)
    swap = ExportConfig(name="a", size=4096, swap=True)
    wait = ExportConfig(name="b", size=4096, on_unreachable=OnUnreachable.WAIT)
    exports = Exports(pager, marks(), [swap, wait, ExportConfig(name="c", size=4096)])
    assert pager.outwaiting == {1, 2}
    change(exports, configs(a=4096, b=4096, c=4096))
    assert pager.outwaiting == set()
    change(exports, [swap, *configs(b=4096, c=4096)])
    assert pager.outwaiting == {1}


# What an operator ends.

REMOVE = Ends("a", is_forced=False)
FORCE = Ends("a", is_forced=True)


def test_an_export_without_pages_goes_and_its_pool_with_it() -> None:
    pager, known = FakePager(3), marks()
    exports = exports_of(pager, known, a=4096, b=4096)
    first = exports.all[0].mark
    prepared = exports.prepare(configs(b=4096), REMOVE)
    assert (prepared.shut, prepared.cut) == ("a", "")
    assert list(exports.names) == ["a", "b"], "until it is followed"
    exports.follow(prepared)
    assert shown(exports) == [("b", 4096, 2)]
    assert pager.dropped == [1]
    assert known.of("a") is not first, "one of the same name is another"


def test_which_export_is_the_default_now_is_told_if_the_first_one_goes() -> None:
    exports = exports_of(FakePager(4), marks(), a=4096, b=4096, c=4096)
    first = exports.prepare(configs(b=4096, c=4096), REMOVE)
    assert first.notes == ("clients that name no export now get b",)
    second = exports.prepare(configs(a=4096, c=4096), Ends("b", is_forced=False))
    assert second.notes == ()
    assert exports.prepare(configs(a=8192, b=4096, c=4096), REMOVE).notes == (), "it only grows"
    exports.follow(first)
    exports.follow(exports.prepare(configs(c=4096), Ends("b", is_forced=False)))
    assert exports.prepare([], Ends("c", is_forced=False)).notes == (), "nothing is left"


def test_an_export_with_pages_goes_only_by_force() -> None:
    pager = FakePager(3)
    exports = exports_of(pager, marks(), a=8192)
    pager.pages[1] = {0, 1}
    with pytest.raises(CannotApply) as refused:
        exports.prepare([], REMOVE)
    assert str(refused.value) == (
        "export a: found 2 pages, expected none. To drop them: `ramsterctl export remove a --force`"
    )
    prepared = exports.prepare([], FORCE)
    assert prepared.dropped_pages == 2
    exports.follow(prepared)
    assert pager.dropped == [1]


def test_an_export_with_a_client_neither_goes_nor_shrinks_not_even_by_force() -> None:
    exports = exports_of(FakePager(3), marks(), a=8192)
    for wanted in ([], configs(a=4096)):
        with pytest.raises(CannotApply, match="export a: found 1 client connected, expected none"):
            exports.prepare(wanted, FORCE, clients_of=lambda name: int(name == "a"))
    with pytest.raises(CannotApply, match=r"in `ss -xp` a row of /run/nbd.sock has"):
        exports.prepare([], FORCE, clients_of=lambda _: 1, nbd_socket="/run/nbd.sock")
    grown = exports.prepare(configs(a=16384), REMOVE, clients_of=lambda _: 1)
    assert not grown.shut


def test_a_lost_export_goes_only_by_force_and_is_forgotten_then() -> None:
    known = marks("a")
    exports = exports_of(FakePager(3), known, a=4096)
    with pytest.raises(CannotApply, match="found it lost, expected a blank export"):
        exports.prepare([], REMOVE)
    exports.follow(exports.prepare([], FORCE))
    assert known.losses() == ()


def test_an_export_shrinks_if_no_page_stands_beyond_its_new_size() -> None:
    pager = FakePager(3)
    exports = exports_of(pager, marks(), a=16384)
    pager.pages[1] = {0}
    prepared = exports.prepare(configs(a=4096), REMOVE)
    assert (prepared.shut, prepared.cut, prepared.dropped_pages) == ("a", "", 0)
    exports.follow(prepared)
    assert shown(exports) == [("a", 4096, 1)]
    assert pager.clients == 0


async def test_pages_beyond_the_new_size_are_dropped_only_by_force() -> None:
    pager = FakePager(3)
    exports = exports_of(pager, marks(), a=16384)
    # One stands beyond the old size, too: of a time when the export was larger.
    pager.pages[1] = {0, 3, 1 << 33}
    with pytest.raises(CannotApply) as refused:
        exports.prepare(configs(a=4096), REMOVE)
    assert str(refused.value) == (
        "export a: found pages beyond 4KiB, expected none."
        " To drop them: `ramsterctl export resize a --size 4KiB --force`"
    )
    prepared = exports.prepare(configs(a=4096), FORCE)
    assert (prepared.shut, prepared.cut) == ("a", "a")
    exports.follow(prepared)
    await exports.drop_beyond("a")
    assert pager.pages[1] == {0}
    assert pager.settled > 1, "in slices"
    assert pager.clients == 0


def test_pages_that_come_back_into_view_are_told() -> None:
    pager = FakePager(3)
    exports = exports_of(pager, marks(), a=4096)
    pager.pages[1] = {0, 1}
    (note,) = exports.prepare(configs(a=8192), REMOVE).notes
    assert note.startswith("export a has pages beyond 4KiB, of a time when it was larger")


def test_what_an_export_of_the_same_name_has_left_is_told() -> None:
    pager = FakePager(3)
    exports = exports_of(pager, marks("c"))
    pager.pages[1] = {0}
    left, lost = exports.prepare(configs(b=4096, c=4096)).notes
    assert left.startswith("export b has 1 page that an earlier export of this name has left")
    assert lost.endswith("`ramsterctl export reset c` makes it blank")


def test_a_change_that_is_cancelled_gives_back_what_it_had_taken() -> None:
    pager = FakePager(3)
    exports = exports_of(pager, marks(), a=4096)
    before = exports.all
    exports.cancel(exports.prepare(configs(a=4096, b=4096)))
    assert exports.all == before
    assert pager.pools == {1: "a"}
