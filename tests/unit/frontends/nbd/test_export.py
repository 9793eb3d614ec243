"""Byte ranges to pages, and outcomes to errors."""

import pytest

from config.limits import PAGE_BYTES
from ramsterd.core.page import ZERO_PAGE, PoolId
from ramsterd.frontends.nbd.export import Export
from ramsterd.frontends.nbd.failures import Failure
from ramsterd.frontends.nbd.parts import Parts, Pieces, cut
from ramsterd.frontends.nbd.protocol import (
    PASS_PAGES_MAX,
    PAYLOAD_BYTES_MAX,
    SLICE_PAGES,
    Command,
    CommandFlag,
    Errno,
    TransmissionFlag,
)
from ramsterd.frontends.pager import GetOutcome, PutOutcome
from tests.fakes.fake_pager import FakePager

PAGES = 16
EXPORT = Export(name="disk", size=PAGES * PAGE_BYTES, pool=PoolId(7), object_id=b"disk")


def page_of(pager: FakePager, index: int) -> bytes | None:
    return pager.pages.get((EXPORT.pool, EXPORT.object_id, index))


class Asked:
    """One request: its answer, once it is there."""

    def __init__(self) -> None:
        self.answers: list[Errno] = []
        self.parts = Parts(self._done)

    def _done(self, failure: Failure | None) -> None:
        self.answers.append(Errno.NONE if failure is None else failure.errno)

    @property
    def answer(self) -> Errno | None:
        assert len(self.answers) <= 1
        return self.answers[0] if self.answers else None


def read_slices(pager: FakePager, offset: int, length: int) -> list[tuple[int, Pieces | Failure]]:
    slices: list[tuple[int, Pieces | Failure]] = []
    for _ in EXPORT.read(pager, offset, length, lambda *each: slices.append(each)):
        pass
    return slices


def read(pager: FakePager, offset: int, length: int) -> bytes:
    ((at, pieces),) = read_slices(pager, offset, length)
    assert at == offset
    assert isinstance(pieces, list)
    return b"".join(pieces)


def write(pager: FakePager, offset: int, data: bytes) -> Asked:
    asked = Asked()
    EXPORT.write(pager, offset, memoryview(data), asked.parts)
    asked.parts.all_begun()
    return asked


def test_whole_pages_are_one_put() -> None:
    pager = FakePager()
    assert write(pager, PAGE_BYTES, b"a" * PAGE_BYTES + b"b" * PAGE_BYTES).answer == 0
    assert pager.calls == {"put": 1}
    assert page_of(pager, 1) == b"a" * PAGE_BYTES
    assert page_of(pager, 2) == b"b" * PAGE_BYTES


def test_an_unaligned_write_patches_head_and_tail() -> None:
    pager = FakePager()
    write(pager, PAGE_BYTES - 10, b"h" * 10 + b"m" * PAGE_BYTES + b"t" * 20)
    assert pager.calls == {"patch": 2, "put": 1}
    assert page_of(pager, 0) == bytes(PAGE_BYTES - 10) + b"h" * 10
    assert page_of(pager, 1) == b"m" * PAGE_BYTES
    assert page_of(pager, 2) == b"t" * 20 + bytes(PAGE_BYTES - 20)


def test_a_write_inside_one_page_is_one_patch() -> None:
    pager = FakePager()
    write(pager, 100, b"inside")
    assert pager.calls == {"patch": 1}
    assert read(pager, 99, 8) == b"\0inside\0"


def test_a_read_is_one_get_and_holes_are_zeros() -> None:
    pager = FakePager()
    write(pager, 2 * PAGE_BYTES, b"x" * PAGE_BYTES)
    pager.calls.clear()
    data = read(pager, PAGE_BYTES + 1, 2 * PAGE_BYTES)
    assert data == bytes(PAGE_BYTES - 1) + b"x" * PAGE_BYTES + b"\0"
    assert pager.calls == {"get": 1}


def test_cut_takes_a_piece_out_of_the_middle_of_a_page() -> None:
    assert cut([b"abcd" * 1024], 1, 2) == [b"bc"]
    assert cut([None], 0, PAGE_BYTES) == [ZERO_PAGE]


def test_trim_drops_only_whole_pages() -> None:
    pager = FakePager()
    write(pager, 0, b"x" * 4 * PAGE_BYTES)
    assert list(EXPORT.trim(pager, 1, 3 * PAGE_BYTES)) == []
    assert page_of(pager, 0) is not None
    assert page_of(pager, 1) is None
    assert page_of(pager, 2) is None
    assert page_of(pager, 3) is not None


def test_trim_inside_one_page_does_nothing() -> None:
    pager = FakePager()
    assert list(EXPORT.trim(pager, 1, PAGE_BYTES)) == []
    assert not pager.calls


@pytest.mark.parametrize(("no_hole", "left"), [(False, None), (True, ZERO_PAGE)])
def test_write_zeroes_leaves_a_hole_unless_told_not_to(no_hole: bool, left: bytes | None) -> None:
    pager = FakePager()
    write(pager, 0, b"x" * 3 * PAGE_BYTES)
    length = 2 * PAGE_BYTES - 20
    asked = Asked()
    slices = EXPORT.write_zeroes(pager, PAGE_BYTES - 10, length, asked.parts, no_hole=no_hole)
    assert list(slices) == []
    asked.parts.all_begun()
    assert asked.answer == 0
    assert page_of(pager, 1) == left
    assert read(pager, 0, PAGE_BYTES) == b"x" * (PAGE_BYTES - 10) + bytes(10)
    assert read(pager, 2 * PAGE_BYTES, PAGE_BYTES) == bytes(PAGE_BYTES - 30) + b"x" * 30


@pytest.mark.parametrize(
    ("command", "flags", "offset", "length", "error"),
    [
        (Command.READ, 0, 0, EXPORT.size, Errno.NONE),
        (Command.READ, CommandFlag.FUA, 1, 1, Errno.NONE),
        (Command.READ, CommandFlag.DF, 0, 1, Errno.NONE),
        (Command.READ, CommandFlag.REQ_ONE, 0, 1, Errno.EINVAL),
        (Command.READ, 1 << 9, 0, 1, Errno.EINVAL),
        (Command.READ, 0, EXPORT.size, 1, Errno.EINVAL),
        (Command.READ, 0, 0, PAYLOAD_BYTES_MAX + 1, Errno.EINVAL),
        (Command.READ, 0, 0, 0, Errno.EINVAL),
        (Command.WRITE, CommandFlag.FUA, 0, 1, Errno.NONE),
        (Command.WRITE, CommandFlag.NO_HOLE, 0, 1, Errno.EINVAL),
        (Command.WRITE, 0, EXPORT.size - 1, 2, Errno.ENOSPC),
        (Command.WRITE, 0, (1 << 64) - 1, 1, Errno.ENOSPC),
        (Command.WRITE, 0, 0, 0, Errno.EINVAL),
        (Command.WRITE_ZEROES, CommandFlag.NO_HOLE, 0, EXPORT.size, Errno.NONE),
        (Command.WRITE_ZEROES, CommandFlag.FAST_ZERO, 0, 4096, Errno.NONE),
        (Command.WRITE_ZEROES, CommandFlag.FAST_ZERO, 1, 4096, Errno.ENOTSUP),
        (Command.WRITE_ZEROES, CommandFlag.DF, 0, 1, Errno.EINVAL),
        (Command.WRITE_ZEROES, 0, 0, EXPORT.size + 1, Errno.ENOSPC),
        (Command.TRIM, 0, 0, EXPORT.size, Errno.NONE),
        (Command.TRIM, 0, 1, EXPORT.size, Errno.EINVAL),
        (Command.FLUSH, 0, 0, 0, Errno.NONE),
        (Command.FLUSH, 0, 0, 1, Errno.EINVAL),
        (Command.FLUSH, 0, 1, 0, Errno.EINVAL),
        (Command.CACHE, CommandFlag.FUA, 0, 1, Errno.NONE),
        (Command.CACHE, CommandFlag.NO_HOLE, 0, 1, Errno.EINVAL),
        (Command.CACHE, 0, 1, EXPORT.size, Errno.EINVAL),
        (Command.CACHE, 0, 0, PAYLOAD_BYTES_MAX + 1, Errno.EINVAL),
        (Command.BLOCK_STATUS, CommandFlag.REQ_ONE, 0, 1, Errno.NONE),
        (Command.BLOCK_STATUS, CommandFlag.DF, 0, 1, Errno.EINVAL),
        (Command.BLOCK_STATUS, 0, 0, EXPORT.size + 1, Errno.EINVAL),
        (8, 0, 0, 1, Errno.EINVAL),
    ],
)
def test_requests_are_judged_before_a_page_is_touched(
    command: int, flags: int, offset: int, length: int, error: Errno
) -> None:
    failure = EXPORT.judge(command, flags, offset, length)
    assert (Errno.NONE if failure is None else failure.errno) is error


@pytest.mark.parametrize("command", [Command.WRITE, Command.TRIM, Command.WRITE_ZEROES])
def test_a_read_only_export_refuses_what_would_change_it(command: Command) -> None:
    export = Export(name="r", size=4096, pool=PoolId(7), object_id=b"r", is_read_only=True)
    failure = export.judge(command, 0, 0, 4096)
    assert failure is not None
    assert failure.errno is Errno.EPERM
    assert export.judge(Command.READ, 0, 0, 4096) is None
    assert export.judge(Command.FLUSH, 0, 0, 0) is None


def test_a_delayed_write_answers_once_when_all_parts_are_done() -> None:
    pager = FakePager()
    pager.is_delaying = True
    asked = write(pager, 10, bytes(3 * PAGE_BYTES))
    assert len(pager.delayed) == 3
    for complete in pager.delayed:
        assert asked.answer is None
        complete()
    assert asked.answer == 0


def test_a_part_done_before_the_others_began_does_not_answer_yet() -> None:
    asked = Asked()
    asked.parts.begin()
    asked.parts.on_begun(None)
    asked.parts.on_done(PutOutcome.STORED)
    asked.parts.begin()
    asked.parts.on_begun(PutOutcome.REFUSED)
    assert asked.answer is None
    asked.parts.all_begun()
    assert asked.answer is Errno.ENOSPC


def test_the_first_error_of_several_parts_is_told() -> None:
    asked = Asked()
    for _ in range(3):
        asked.parts.begin()
    asked.parts.all_begun()
    asked.parts.on_done(PutOutcome.STORED)
    asked.parts.on_done(GetOutcome.LOST)
    asked.parts.on_done(PutOutcome.REFUSED)
    assert asked.answer is Errno.EIO


def test_a_delayed_read_is_cut_like_any_other() -> None:
    pager = FakePager()
    write(pager, 0, b"abc" + bytes(PAGE_BYTES - 3))
    pager.is_delaying = True
    slices = read_slices(pager, 1, 2)
    assert slices == []
    for complete in pager.delayed:
        complete()
    assert slices == [(1, [b"bc"])]


@pytest.mark.parametrize("where", ["lost", "unreachable"])
def test_pages_that_cannot_be_had_are_an_io_error(where: str) -> None:
    pager = FakePager()
    getattr(pager, where).add(3)
    ((_, failure),) = read_slices(pager, 2 * PAGE_BYTES + 5, 2 * PAGE_BYTES)
    assert isinstance(failure, Failure)
    assert failure.errno is Errno.EIO


LONG = Export(name="long", size=PAGE_BYTES << 20, pool=PoolId(7), object_id=b"long")


def test_a_long_read_is_read_in_slices_that_end_at_pages() -> None:
    pager = FakePager()
    found: list[tuple[int, int]] = []

    def on_slice(offset: int, result: Pieces | Failure) -> None:
        assert isinstance(result, list)
        found.append((offset, sum(map(len, result))))

    steps = LONG.read(pager, 5, 2 * SLICE_PAGES * PAGE_BYTES, on_slice)
    assert len(list(steps)) == 2
    slice_bytes = SLICE_PAGES * PAGE_BYTES
    assert found == [(5, slice_bytes - 5), (slice_bytes, slice_bytes), (2 * slice_bytes, 5)]
    assert pager.calls["get"] == 3


def test_a_long_trim_drops_a_bounded_number_of_pages_at_a_time() -> None:
    pager = FakePager()
    pager.pages = {(LONG.pool, LONG.object_id, each): b"" for each in range(2500)}
    left = [len(pager.pages) for _ in LONG.trim(pager, 0, LONG.size)]
    assert left[:2] == [2500 - PASS_PAGES_MAX, 2500 - 2 * PASS_PAGES_MAX]
    assert not pager.pages
    # What is left is holes, and a million of them are a few steps.
    assert len(left) < 20


def test_long_zeroes_that_stay_allocated_are_put_in_slices() -> None:
    pager = FakePager()
    asked = Asked()
    length = 3 * PASS_PAGES_MAX * PAGE_BYTES
    assert len(list(LONG.write_zeroes(pager, 0, length, asked.parts, no_hole=True))) == 2
    assert pager.calls == {"put_zeros": 3}
    asked.parts.all_begun()
    assert asked.answer == 0


def test_cache_brings_home_every_page_that_a_range_touches() -> None:
    pager = FakePager()
    asked = Asked()
    assert list(EXPORT.cache(pager, PAGE_BYTES - 1, PAGE_BYTES + 2, asked.parts)) == []
    asked.parts.all_begun()
    assert asked.answer == 0
    assert pager.cached == {0, 1, 2}


def test_extents_are_cut_to_the_bytes_that_were_asked_for() -> None:
    pager = FakePager()
    write(pager, PAGE_BYTES, b"x" * PAGE_BYTES + bytes(PAGE_BYTES))
    hole, zero = 3, 2
    assert EXPORT.extents(pager, 1, 3 * PAGE_BYTES, extents_max=9) == [
        (PAGE_BYTES - 1, hole),
        (PAGE_BYTES, 0),
        (PAGE_BYTES, zero),
        (1, hole),
    ]
    assert EXPORT.extents(pager, 5000, 10, extents_max=1) == [(10, 0)]
    assert EXPORT.extents(pager, 5000, 4000, extents_max=1) == [(2 * PAGE_BYTES - 5000, 0)]


@pytest.mark.parametrize("is_structured", [False, True])
def test_flags_say_what_an_export_can_do(is_structured: bool) -> None:
    flags = EXPORT.transmission_flags(is_structured=is_structured)
    for ability in (
        TransmissionFlag.SEND_TRIM,
        TransmissionFlag.SEND_WRITE_ZEROES,
        TransmissionFlag.SEND_FAST_ZERO,
        TransmissionFlag.SEND_CACHE,
        TransmissionFlag.CAN_MULTI_CONN,
    ):
        assert ability in flags
    for missing in (TransmissionFlag.READ_ONLY, TransmissionFlag.ROTATIONAL):
        assert missing not in flags
    assert (TransmissionFlag.SEND_DF in flags) == is_structured
