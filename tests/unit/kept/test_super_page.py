"""Each gate fails by its name, whatever is behind it; what a crash tears is the slot that was written."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import pytest
from hypothesis import given, strategies as st

from ramsterd.kept import super_page
from ramsterd.kept.layout import LAYOUT_VERSION, MAPPINGS, SUPER_BYTES
from ramsterd.kept.super_page import (
    ATTEMPTS_MAX,
    IS_NOT_OURS_TO_GIVE_UP,
    SERIAL_MAX,
    SERIALS_RESERVED,
    Expected,
    Gate,
    Header,
    Live,
    MemoryRefused,
    State,
    SuperPage,
    attach,
    create,
)

LENGTHS: Final = {name: 4096 * (1 + number) for number, name in enumerate(MAPPINGS)}
HEADER: Final = Header(
    memory_id=b"m" * 16,
    boot_id=b"b" * 16,
    made_at=5,
    cluster="lab",
    node=2,
    node_name="two",
    lengths=LENGTHS,
)
LIVE: Final = Live(state=State.RUNNING, incarnation=77, serial_limit=1000)
EXPECTED: Final = Expected(
    cluster="lab", node=2, node_name="two", boot_id=b"b" * 16, memory_id=b"m" * 16, lengths=LENGTHS
)
VERSION_OFFSET: Final = 8
WORDS: Final = st.integers(0, (1 << 64) - 1)
LIVE_PARTS: Final = st.builds(
    Live,
    state=st.sampled_from(State),
    incarnation=WORDS,
    serial_limit=st.integers(0, SERIAL_MAX),
    attempts=st.integers(0, ATTEMPTS_MAX - 1),
    attaches=WORDS,
    names_epoch=WORDS,
)


def make_page() -> tuple[memoryview, SuperPage]:
    page = memoryview(bytearray(SUPER_BYTES))
    return page, create(page, HEADER, LIVE)


def gate_of(page: memoryview | bytes, expected: Expected = EXPECTED) -> Gate:
    with pytest.raises(MemoryRefused) as refused:
        attach(memoryview(page), expected)
    assert len(str(refused.value).splitlines()) == 1
    return refused.value.gate


def test_what_was_written_is_read() -> None:
    page, _ = make_page()
    found = attach(page, EXPECTED)
    assert (found.header, found.live) == (HEADER, LIVE)


def test_mappings_may_be_longer_than_they_were() -> None:
    """Another budget is no reason to lose a page."""
    page, _ = make_page()
    attach(page, replace(EXPECTED, lengths={name: 2 * each for name, each in LENGTHS.items()}))


def test_without_a_state_file_the_memorys_word_is_taken() -> None:
    page, _ = make_page()
    attach(page, replace(EXPECTED, memory_id=None))


@pytest.mark.parametrize(
    ("gate", "expected"),
    [
        (Gate.CLUSTER, replace(EXPECTED, cluster="other")),
        (Gate.NODE, replace(EXPECTED, node=3, node_name="three")),
        (Gate.BOOT, replace(EXPECTED, boot_id=b"c" * 16)),
        (Gate.MEMORY, replace(EXPECTED, memory_id=b"n" * 16)),
        (Gate.MEMORY, replace(EXPECTED, memory_id=b"")),
        (Gate.GEOMETRY, replace(EXPECTED, lengths={**LENGTHS, "rows": LENGTHS["rows"] - 4096})),
        (Gate.GEOMETRY, replace(EXPECTED, lengths={})),
    ],
)
def test_memory_that_does_not_fit_this_start_is_refused(gate: Gate, expected: Expected) -> None:
    page, _ = make_page()
    assert gate_of(page, expected) is gate


@pytest.mark.parametrize(
    ("gate", "spoil"),
    [
        (Gate.TRUNCATED, lambda page: page[: SUPER_BYTES - 1]),
        (Gate.TRUNCATED, lambda page: page[:0]),
        (Gate.BLANK, lambda page: bytes(8) + page[8:]),
        (Gate.FOREIGN, lambda page: b"#!python" + page[8:]),
        (Gate.OLDER, lambda page: page[:8] + bytes([LAYOUT_VERSION - 1]) + page[9:]),
        (Gate.NEWER, lambda page: page[:8] + bytes([LAYOUT_VERSION + 1]) + page[9:]),
        (Gate.DAMAGED, lambda page: page[:100] + bytes([page[100] ^ 1]) + page[101:]),
        (Gate.DAMAGED, lambda page: page[:1024] + bytes(SUPER_BYTES - 1024)),
    ],
)
def test_memory_that_is_none_is_refused(gate: Gate, spoil: Callable[[bytes], bytes]) -> None:
    page, _ = make_page()
    assert gate_of(spoil(bytes(page))) is gate


def test_another_build_of_the_same_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    page, _ = make_page()
    monkeypatch.setattr(super_page, "layout_hash", lambda: 5)
    assert gate_of(page) is Gate.LAYOUT


def test_after_three_attempts_nobody_tries_again() -> None:
    page, found = make_page()
    for attempts in range(1, ATTEMPTS_MAX):
        found.write(replace(found.live, attempts=attempts))
        assert attach(page, EXPECTED).live.attempts == attempts
    found.write(replace(found.live, attempts=ATTEMPTS_MAX))
    assert gate_of(page) is Gate.ATTEMPTS


def test_what_others_may_want_is_not_given_up() -> None:
    """Another release can read it, or another node: only an operator may throw it away."""
    assert Gate.DAMAGED not in IS_NOT_OURS_TO_GIVE_UP
    assert {Gate.OLDER, Gate.NEWER, Gate.NODE} < IS_NOT_OURS_TO_GIVE_UP


@given(written=st.lists(LIVE_PARTS, min_size=1, max_size=6))
def test_the_newest_of_all_writes_counts(written: list[Live]) -> None:
    page, found = make_page()
    for live in written:
        found.write(live)
        assert attach(page, EXPECTED).live == live


@given(written=st.lists(LIVE_PARTS, min_size=1, max_size=4), cut=st.integers(0, 64))
def test_a_torn_write_leaves_what_stood_before(written: list[Live], cut: int) -> None:
    """Only a serial limit is taken for higher: serials beyond it may have been used, for all that can be seen."""
    page, found = make_page()
    for live in written[:-1]:
        found.write(live)
    before, image = found.live, bytes(page)
    found.write(written[-1])
    changed = [at for at, (old, new) in enumerate(zip(image, page, strict=True)) if old != new]
    torn = bytearray(image)
    for at in changed[:cut]:
        torn[at] = page[at]
    now = attach(memoryview(torn), EXPECTED).live
    higher = min(before.serial_limit + SERIALS_RESERVED, SERIAL_MAX)
    assert now in (before, replace(before, serial_limit=higher), written[-1])


@given(bit=st.integers(0, SUPER_BYTES * 8 - 1), live=LIVE_PARTS)
def test_no_flipped_bit_makes_another_memory_of_it(bit: int, live: Live) -> None:
    page, found = make_page()
    found.write(live)
    page[bit // 8] ^= 1 << bit % 8
    try:
        now = attach(page, EXPECTED)
    except MemoryRefused as refused:
        assert bit < 1024 * 8
        assert refused.gate in {Gate.FOREIGN, Gate.NEWER, Gate.OLDER, Gate.DAMAGED}  # noqa: PT017
        return
    assert now.header == HEADER
    assert now.live.serial_limit >= min(live.serial_limit, LIVE.serial_limit)
    if now.live.incarnation != live.incarnation:
        assert now.live.incarnation == LIVE.incarnation
        assert now.live.serial_limit == LIVE.serial_limit + SERIALS_RESERVED


@given(data=st.binary(max_size=200), at=st.integers(0, SUPER_BYTES))
def test_any_bytes_are_refused_in_one_line_or_read(data: bytes, at: int) -> None:
    page = bytearray(make_page()[0])
    page[at : at + len(data)] = data
    try:
        assert attach(memoryview(page), EXPECTED).header == HEADER
    except MemoryRefused as refused:
        assert len(str(refused).splitlines()) == 1  # noqa: PT017


def test_serials_are_reserved_before_they_are_used() -> None:
    page, found = make_page()
    assert found.reserve_serials(1000) == 1000 + SERIALS_RESERVED
    assert attach(page, EXPECTED).live.serial_limit == 1000 + SERIALS_RESERVED
    before = bytes(page)
    assert found.reserve_serials(500) == 1000 + SERIALS_RESERVED, "a limit never falls"
    assert bytes(page) == before
    assert found.reserve_serials(SERIAL_MAX - 1) == SERIAL_MAX


def test_an_orderly_stop_gives_back_what_was_reserved() -> None:
    page, found = make_page()
    found.reserve_serials(1000)
    found.write(replace(found.live, state=State.CLEAN, serial_limit=1200))
    assert attach(page, EXPECTED).live.serial_limit == 1200
