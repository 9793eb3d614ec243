"""Byte ranges to pages, and outcomes to errors."""

import pytest

from config.limits import PAGE_BYTES
from ramsterd.core.page import ZERO_PAGE, PoolId
from ramsterd.nbd.export import Export, Parts, Pieces, cut
from ramsterd.nbd.protocol import PAYLOAD_BYTES_MAX, Command, CommandFlag, Errno
from ramsterd.pager import GetOutcome, PutOutcome
from tests.fakes.fake_pager import FakePager

PAGES = 16
EXPORT = Export(name="disk", size=PAGES * PAGE_BYTES, pool=PoolId(7), object_id=b"disk")


def page_of(pager: FakePager, index: int) -> bytes | None:
    return pager.pages.get((EXPORT.pool, EXPORT.object_id, index))


def unexpected(answer: Pieces | Errno) -> None:
    raise AssertionError(f"answered late: {answer}")


def read(pager: FakePager, offset: int, length: int) -> bytes:
    pieces = EXPORT.read(pager, offset, length, unexpected)
    assert isinstance(pieces, list)
    return b"".join(pieces)


def write(pager: FakePager, offset: int, data: bytes) -> Errno | None:
    return EXPORT.write(pager, offset, memoryview(data), unexpected)


def test_whole_pages_are_one_put() -> None:
    pager = FakePager()
    assert write(pager, PAGE_BYTES, b"a" * PAGE_BYTES + b"b" * PAGE_BYTES) is Errno.NONE
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
    EXPORT.trim(pager, 1, 3 * PAGE_BYTES)
    assert page_of(pager, 0) is not None
    assert page_of(pager, 1) is None
    assert page_of(pager, 2) is None
    assert page_of(pager, 3) is not None


def test_trim_inside_one_page_does_nothing() -> None:
    pager = FakePager()
    EXPORT.trim(pager, 1, PAGE_BYTES)
    assert not pager.calls


@pytest.mark.parametrize(("no_hole", "left"), [(False, None), (True, ZERO_PAGE)])
def test_write_zeroes_leaves_a_hole_unless_told_not_to(no_hole: bool, left: bytes | None) -> None:
    pager = FakePager()
    write(pager, 0, b"x" * 3 * PAGE_BYTES)
    length = 2 * PAGE_BYTES - 20
    error = EXPORT.write_zeroes(pager, PAGE_BYTES - 10, length, unexpected, no_hole=no_hole)
    assert error is Errno.NONE
    assert page_of(pager, 1) == left
    assert read(pager, 0, PAGE_BYTES) == b"x" * (PAGE_BYTES - 10) + bytes(10)
    assert read(pager, 2 * PAGE_BYTES, PAGE_BYTES) == bytes(PAGE_BYTES - 30) + b"x" * 30


@pytest.mark.parametrize(
    ("command", "flags", "offset", "length", "error"),
    [
        (Command.READ, 0, 0, EXPORT.size, Errno.NONE),
        (Command.READ, CommandFlag.FUA, 1, 1, Errno.NONE),
        (Command.READ, CommandFlag.DF, 0, 1, Errno.EINVAL),
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
        (Command.WRITE_ZEROES, CommandFlag.FAST_ZERO, 0, 1, Errno.EINVAL),
        (Command.WRITE_ZEROES, 0, 0, EXPORT.size + 1, Errno.ENOSPC),
        (Command.TRIM, 0, 0, EXPORT.size, Errno.NONE),
        (Command.TRIM, 0, 1, EXPORT.size, Errno.EINVAL),
        (Command.FLUSH, 0, 0, 0, Errno.NONE),
        (Command.FLUSH, 0, 0, 1, Errno.EINVAL),
        (Command.FLUSH, 0, 1, 0, Errno.EINVAL),
        (Command.CACHE, 0, 0, 1, Errno.EINVAL),
        (7, 0, 0, 1, Errno.EINVAL),
    ],
)
def test_requests_are_judged_before_a_page_is_touched(
    command: int, flags: int, offset: int, length: int, error: Errno
) -> None:
    assert EXPORT.judge(command, flags, offset, length) is error


def test_a_delayed_write_answers_once_when_all_parts_are_done() -> None:
    pager = FakePager()
    pager.is_delaying = True
    answers: list[Errno] = []
    data = memoryview(bytes(3 * PAGE_BYTES))
    assert EXPORT.write(pager, 10, data, answers.append) is None
    assert len(pager.delayed) == 3
    for complete in pager.delayed:
        assert answers == []
        complete()
    assert answers == [Errno.NONE]


def test_a_part_done_before_the_others_began_does_not_answer_yet() -> None:
    answers: list[Errno] = []
    parts = Parts(answers.append)
    parts.begin()
    parts.on_begun(None)
    parts.on_done(PutOutcome.STORED)
    parts.begin()
    parts.on_begun(PutOutcome.REFUSED)
    assert parts.all_begun() is Errno.ENOSPC
    assert answers == []


def test_the_first_error_of_several_parts_is_told() -> None:
    answers: list[Errno] = []
    parts = Parts(answers.append)
    for _ in range(3):
        parts.begin()
    assert parts.all_begun() is None
    parts.on_done(PutOutcome.STORED)
    parts.on_done(GetOutcome.LOST)
    parts.on_done(PutOutcome.REFUSED)
    assert answers == [Errno.EIO]


def test_a_delayed_read_is_cut_like_any_other() -> None:
    pager = FakePager()
    write(pager, 0, b"abc" + bytes(PAGE_BYTES - 3))
    pager.is_delaying = True
    answers: list[Pieces | Errno] = []
    assert EXPORT.read(pager, 1, 2, answers.append) is None
    pager.release()
    assert answers == [[b"bc"]]


@pytest.mark.parametrize("where", ["lost", "unreachable"])
def test_pages_that_cannot_be_had_are_an_io_error(where: str) -> None:
    pager = FakePager()
    getattr(pager, where).add(3)
    answer = EXPORT.read(pager, 2 * PAGE_BYTES + 5, 2 * PAGE_BYTES, unexpected)
    assert answer is Errno.EIO
