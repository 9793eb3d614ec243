"""A connection is answered the same, byte for byte, by compiled loops and by Python's."""

import hypothesis.strategies as st
from hypothesis import given, settings

from config.limits import PAGE_BYTES
from ramsterd.frontends.nbd.protocol import PASS_PAGES_MAX, SLICE_PAGES, Command, Errno
from tests.fakes.nbd_words import Structured, parse_structured, request, write
from tests.fuzz.target import kept_inputs, pieces
from tests.helpers.disk_nodes import DISK_PAGES, DiskNode
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
SAID = st.lists(st.one_of(READS, READS, WRITES, WRITES, OTHERS), min_size=1, max_size=25)


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


def test_the_compiled_pass_is_reached() -> None:
    """And goes on over pages for which Python has to find a slot."""
    require_compiled()
    node = DiskNode(is_compiled=True)
    everyday = b"".join(
        write(index, index * PAGE_BYTES, make_page(1000, index)) for index in range(40)
    )
    node.say(everyday + request(Command.READ, 99, 0, 40 * PAGE_BYTES))
    assert node.transmission.pages_of_pass == 40
    assert node.store.counters.put == 40
    content = b"".join(make_page(1000, index) for index in range(40))
    assert bytes(node.answered).endswith(content)


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


def test_a_kept_corpus_is_answered_the_same() -> None:
    require_compiled()
    for name, data in kept_inputs("nbd_requests").items():
        seen = []
        for is_compiled in (True, False):
            node = DiskNode(is_compiled=is_compiled, is_structured=bool(data[1] & 1))
            for piece in pieces(data[2:], data[0]):
                node.say(piece)
            seen.append(node.seen())
        assert seen[0] == seen[1], name
