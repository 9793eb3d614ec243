"""A connection is answered the same, byte for byte, by compiled loops and by Python's."""

from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from config.limits import PAGE_BYTES
from ramsterd.core.family import Family
from ramsterd.core.leaving import begin_leaving, end_leaving
from ramsterd.core.table import LEAF_PAGES
from ramsterd.frontends.nbd.protocol import PASS_PAGES_MAX, SLICE_PAGES, Command, CommandFlag, Errno
from tests.fakes.nbd_words import Structured, parse_structured, request, write
from tests.fuzz.target import pieces
from tests.helpers.disk_nodes import DISK_PAGES, DiskNode
from tests.helpers.made_engine import INCARNATION, ONE
from tests.helpers.made_pages import make_fill, make_page
from tests.helpers.requirements import require_compiled

INDEXES = st.integers(0, 20) | st.integers(0, DISK_PAGES)
COUNTS = st.sampled_from([1, 1, 1, 2, 5, 40, 130])
# -1 is same-filled.
SIZES = st.sampled_from([-1, 0, 200, 1000, 3600, 4096])


def make_pages(index: int, count: int, zbytes: int, seed: int) -> bytes:
    return b"".join(
        make_fill(seed + 1) if zbytes < 0 else make_page(zbytes, seed * 300 + index + each)
        for each in range(count)
    )


READS = st.builds(
    lambda index, count: request(Command.READ, 1, index * PAGE_BYTES, count * PAGE_BYTES),
    INDEXES,
    COUNTS,
)
WRITES = st.builds(
    lambda index, count, zbytes, seed: write(
        2, index * PAGE_BYTES, make_pages(index, count, zbytes, seed)
    ),
    INDEXES,
    COUNTS,
    SIZES,
    st.integers(0, 3),
)
OTHERS = st.builds(
    request,
    st.sampled_from([Command.TRIM, Command.FLUSH, Command.READ, Command.WRITE_ZEROES, 99]),
    st.just(3),
    st.integers(0, DISK_PAGES * PAGE_BYTES),
    st.integers(0, 20000),
)
# One entry of a directory stands for a whole leaf of zeros.
LEAVES = st.builds(
    lambda leaf: request(
        Command.WRITE_ZEROES,
        4,
        leaf * LEAF_PAGES * PAGE_BYTES,
        LEAF_PAGES * PAGE_BYTES,
        flags=CommandFlag.NO_HOLE,
    ),
    st.integers(0, 1),
)
SAID = st.lists(st.one_of(READS, READS, WRITES, WRITES, OTHERS, LEAVES), min_size=1, max_size=25)


@settings(max_examples=settings().max_examples // 2)
@given(
    conversations=st.lists(SAID, min_size=1, max_size=3),
    damaged=st.integers(0, 20),
    rule=st.integers(0, 5),
    is_structured=st.booleans(),
)
def test_both_kinds_of_loops_answer_the_same(
    conversations: list[list[bytes]], damaged: int, rule: int, *, is_structured: bool
) -> None:
    require_compiled()
    nodes = [
        DiskNode(is_compiled=is_compiled, is_structured=is_structured)
        for is_compiled in (True, False)
    ]
    for node in nodes:
        for said in conversations:
            for piece in pieces(b"".join(said), rule if rule != 1 else 0):
                node.say(piece)
            node.damage(damaged)
        node.store.check_invariants()
    assert nodes[0].seen() == nodes[1].seen()


def test_the_compiled_pass_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    """And goes on over pages for which Python has to find a slot."""
    require_compiled()
    node = DiskNode(is_compiled=True)
    assert node.store.twin is not None
    serve, calls = node.store.twin.serve, list[int]()

    def noted(*arguments: Any) -> Any:
        served = serve(*arguments)
        calls.append(served.reads + served.writes)
        return served

    monkeypatch.setattr(node.store.twin, "serve", noted)
    everyday = b"".join(
        write(index, index * PAGE_BYTES, make_page(1000, index)) for index in range(40)
    )
    node.say(everyday + request(Command.READ, 99, 0, 40 * PAGE_BYTES))
    assert node.transmission.pages_of_pass == 40
    assert node.store.counters.put == 40
    content = b"".join(make_page(1000, index) for index in range(40))
    assert bytes(node.answered).endswith(content)
    assert sum(calls) == 41
    assert len(calls) > 1


def test_a_pass_that_only_reads_what_is_here_leaves_nothing_to_do() -> None:
    """`DiskNode.say` asserts that nothing has changed then; other passes never say so."""
    require_compiled()
    node = with_pages_at_a_peer(is_compiled=True, count=2)
    node.say(b"".join(write(at, at * PAGE_BYTES, make_page(1000, at)) for at in (4, 5)))
    here = request(Command.READ, 1, 4 * PAGE_BYTES, 2 * PAGE_BYTES)
    at_a_peer = request(Command.READ, 2, 0, PAGE_BYTES)
    said = {
        here: True,
        here + here: True,
        request(Command.READ, 1, 9 * PAGE_BYTES, PAGE_BYTES): True,  # a hole
        here + write(3, 4 * PAGE_BYTES, make_page(900)): False,
        write(3, 4 * PAGE_BYTES, make_page(900)) + here: False,
        here + request(Command.FLUSH, 4): False,
        here + request(Command.READ, 5, 100, 100): False,
        request(Command.READ, 6, 4 * PAGE_BYTES, 130 * PAGE_BYTES): False,  # in slices
        here + at_a_peer + here: False,
    }
    for words, has_only_read in said.items():
        node.say(words)
        assert node.transmission.has_only_read == has_only_read


def test_a_pass_that_goes_on_with_a_long_write_has_not_only_read() -> None:
    require_compiled()
    node = DiskNode(is_compiled=True)
    pages = b"".join(make_page(1000, at) for at in range(SLICE_PAGES + 1))
    said = write(1, 0, pages) + request(Command.READ, 2, 0, PAGE_BYTES)
    node.say(said[: -2 * PAGE_BYTES])
    node.say(said[-2 * PAGE_BYTES :])
    assert len(parse_structured(bytes(node.answered))) == 2
    assert not node.transmission.has_only_read


def test_a_write_into_a_leaf_of_zeros_makes_a_leaf_of_its_own() -> None:
    require_compiled()
    node = DiskNode(is_compiled=True)
    zeros = request(
        Command.WRITE_ZEROES, 1, 0, 2 * LEAF_PAGES * PAGE_BYTES, flags=CommandFlag.NO_HOLE
    )
    node.say(zeros + write(2, PAGE_BYTES, make_page(500) + make_page(600)))
    node.store.check_invariants()
    node.answered.clear()
    node.say(
        request(Command.READ, 3, LEAF_PAGES * PAGE_BYTES, PAGE_BYTES)
        + request(Command.READ, 4, 2 * PAGE_BYTES, PAGE_BYTES)
    )
    zero, ours = parse_structured(bytes(node.answered)).values()
    assert isinstance(zero, Structured)
    assert isinstance(ours, Structured)
    assert (zero.content, ours.content) == (bytes(PAGE_BYTES), make_page(600))


def test_a_read_only_disk_is_not_written() -> None:
    require_compiled()
    seen = []
    for is_compiled in (True, False):
        node = DiskNode(is_compiled=is_compiled, is_read_only=True)
        node.say(write(1, 0, make_page(500)) + request(Command.READ, 2, 0, PAGE_BYTES))
        assert parse_structured(bytes(node.answered))[1] != Errno.NONE
        assert node.store.counters.put == 0
        seen.append(node.seen())
    assert seen[0] == seen[1]


def test_a_pass_of_many_pages_ends_as_it_does_without_compiled_loops() -> None:
    require_compiled()
    asked = b"".join(
        request(Command.READ, each, 0, SLICE_PAGES * PAGE_BYTES)
        for each in range(2 * PASS_PAGES_MAX // SLICE_PAGES)
    )
    seen = []
    for is_compiled in (True, False):
        node = DiskNode(is_compiled=is_compiled)
        node.transmission.received.space()
        node.transmission.received.feed(asked)
        node.transmission.serve()
        assert node.transmission.has_unserved
        seen.append((node.transmission.pages_of_pass, node.seen()))
    assert seen[0] == seen[1]
    assert seen[0][0] == PASS_PAGES_MAX


def test_a_page_that_is_damaged_and_then_lost_is_never_answered() -> None:
    require_compiled()
    seen = []
    for is_compiled in (True, False):
        node = DiskNode(is_compiled=is_compiled)
        for index in range(3):
            node.say(write(index, index * PAGE_BYTES, make_page(1000, index)))
        node.damage(1)
        node.take()
        for _ in range(2):
            node.answered.clear()
            node.say(
                b"".join(
                    request(Command.READ, index, index * PAGE_BYTES, PAGE_BYTES)
                    for index in range(3)
                )
            )
            answers = parse_structured(bytes(node.answered))
            errors = [
                each.errno if isinstance(each, Structured) else each for each in answers.values()
            ]
            assert errors == [Errno.NONE, Errno.EIO, Errno.NONE]
        seen.append(node.seen())
    assert seen[0] == seen[1]


def with_pages_at_a_peer(*, is_compiled: bool, count: int) -> DiskNode:
    """Return a node of whose disk the first pages are at a peer, and all others here."""
    node = DiskNode(is_compiled=is_compiled)
    node.made.link(ONE)
    node.say(b"".join(write(at, at * PAGE_BYTES, make_page(1000, at)) for at in range(count)))
    versions = node.store.versions
    holder = node.made.engine.machines.holders.adopt(1, ONE, INCARNATION, is_dead=False, pages=0)
    while (block := versions.zbud.oldest(Family.OWN_PERSISTENT)) is not None:
        end_leaving(versions, begin_leaving(versions, block), holder.id)
    rest = range(count, DISK_PAGES)
    node.say(b"".join(write(at, at * PAGE_BYTES, make_page(1000, at)) for at in rest))
    return node


def reads(*places: int) -> bytes:
    return b"".join(request(Command.READ, at, at * PAGE_BYTES, PAGE_BYTES) for at in places)


@pytest.mark.parametrize("is_compiled", [True, False])
def test_reads_that_are_owed_hold_no_pages_that_were_answered(is_compiled: bool) -> None:
    if is_compiled:
        require_compiled()
    node = with_pages_at_a_peer(is_compiled=is_compiled, count=1)
    for _ in range(3):
        node.say(reads(*range(DISK_PAGES)))
    assert node.transmission.in_flight_count == 3
    assert not [page for get in node.pager._gets for page in get.pages if page]


def test_reads_of_one_page_at_a_peer_are_not_looked_through_for_each_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    require_compiled()
    node = with_pages_at_a_peer(is_compiled=True, count=1)
    assert node.store.twin is not None
    serve, calls = node.store.twin.serve, list[int]()

    def noted(*arguments: Any) -> Any:
        calls.append(len(arguments[2]))
        return serve(*arguments)

    monkeypatch.setattr(node.store.twin, "serve", noted)
    node.say(reads(*[0] * 500))
    assert node.transmission.in_flight_count == 500
    assert len(calls) < 10
