"""The compiled loops of pages that leave and come home: where they stop, and that nothing makes them leave their memory."""

from array import array
from typing import TYPE_CHECKING

import pytest

from ramsterd.core.codec import PACKED_FILL, PACKED_RAW, PACKED_ZSTD
from ramsterd.core.family import Family
from ramsterd.core.page import PAGE_BYTES
from tests.helpers.disk import flip_a_bit
from tests.helpers.made_pages import make_page, make_run
from tests.helpers.requirements import require_compiled
from tests.helpers.sending_node import A, B, SendingNode

if TYPE_CHECKING:
    from ramsterd.compiled._loops import Loops

ROWS_MAX = (1 << 32) - 1
RUN = make_run(1000, 4)


@pytest.fixture
def loops(node: SendingNode) -> "Loops":
    require_compiled()
    assert node.store.versions.loops is not None
    return node.store.versions.loops


class Answer:
    """What a holder gives for four pages, and what the compiled loop makes of it."""

    def __init__(self, node: SendingNode, loops: "Loops") -> None:
        node.put(0, RUN)
        node.remotify(A)
        # Slots of their class.
        node.put(10, RUN)
        self._node, self._loops = node, loops
        self.rows = node.elsewhere(0, 4)
        self.serials = list(map(node.store.rows.serial, self.rows))
        self.packed = list(map(node.store.rows.packed, self.rows))
        self.zpages = [node.zpages[serial] for serial in self.serials]
        self.families: list[int | None] = [Family.OWN_CLEAN] * 4
        self.pages: list[bytes | None] = []
        self.stacks = node.store.zbud.stacks(Family.OWN_PERSISTENT)
        self.installs = True

    def come_home(self) -> tuple[int, int, int, int, int]:
        return self._loops.come_home(
            self.rows, self.serials, self.packed, memoryview(b"".join(self.zpages)), self.families,
            self.pages, 0, 0, self.stacks, Family.OWN_CLEAN, self.installs,
        )  # fmt: skip

    def check_stops(self, at: int) -> None:
        """The pages before are kept, and for this one nothing was changed."""
        slots = len(self.stacks[self.chunks])
        assert self.come_home()[:2] == (at, sum(map(len, self.zpages[:at])))
        assert self.pages == RUN[:at]
        assert len(self.stacks[self.chunks]) == slots - at
        for row in self.rows[at:]:
            if row < self._node.store.rows.high:
                assert not self._node.store.rows.location(row)

    @property
    def chunks(self) -> int:
        return -(-len(self.zpages[0]) // 64)


@pytest.fixture
def answer(node: SendingNode, loops: "Loops") -> Answer:
    return Answer(node, loops)


def test_what_is_as_it_was_sent_comes_home_at_once(answer: Answer) -> None:
    zbytes = sum(map(len, answer.zpages))
    assert answer.come_home() == (4, zbytes, 4, zbytes, 0)
    assert answer.pages == RUN


def test_what_nobody_waits_for_is_passed_by(answer: Answer) -> None:
    answer.families = [None, Family.OWN_CLEAN, None, None]
    answer.packed[2], answer.zpages[2] = 0, b""
    assert answer.come_home()[2] == 1
    assert answer.pages == [None, RUN[1], None, None]


def test_where_memory_is_short_nothing_is_kept(answer: Answer) -> None:
    answer.installs = False
    assert answer.come_home()[2:] == (0, 0, 0)
    assert answer.pages == RUN


def test_a_page_without_a_slot_is_handed_over_and_named(answer: Answer) -> None:
    answer.stacks[answer.chunks][:-1] = []
    at, start, installed, _, chunks = answer.come_home()
    assert (at, installed, chunks) == (2, 1, answer.chunks)
    assert start == len(answer.zpages[0]) + len(answer.zpages[1])
    assert answer.pages == RUN[:2]


@pytest.mark.parametrize("location", [1, (1 << 32) - 1, 1 << 20])
def test_a_slot_that_is_none_is_not_filled(answer: Answer, location: int) -> None:
    answer.stacks[answer.chunks].append(location)
    assert answer.come_home()[2:] == (0, 0, answer.chunks)
    assert answer.pages == RUN[:1]


@pytest.mark.parametrize(
    "packed", [0, 1, PACKED_RAW, PACKED_FILL, PACKED_ZSTD + 7, 0xFFFF, 1 << 16, -1]
)
def test_another_encoding_is_for_python(answer: Answer, packed: int) -> None:
    answer.packed[2] = packed
    answer.check_stops(2)


def test_a_zpage_that_is_damaged_is_for_python(answer: Answer) -> None:
    answer.zpages[1] = bytes(len(answer.zpages[1]))
    answer.check_stops(1)


def test_a_zpage_of_another_page_is_for_python(answer: Answer) -> None:
    answer.zpages[1:3] = reversed(answer.zpages[1:3])
    answer.check_stops(1)


def test_an_answer_that_is_too_short_is_for_python(answer: Answer) -> None:
    answer.zpages[3] = answer.zpages[3][:-1]
    answer.check_stops(3)


@pytest.mark.parametrize("row", [0, ROWS_MAX, 1 << 32, -1])
def test_a_row_that_is_none_is_for_python(answer: Answer, row: int) -> None:
    answer.rows[1] = row
    answer.check_stops(1)


def test_a_page_that_was_overtaken_is_for_python(answer: Answer, node: SendingNode) -> None:
    node.put(2, [make_page(1000, 77)])
    answer.rows[3] = answer.rows[2]
    slots = len(answer.stacks[answer.chunks])
    assert answer.come_home()[0] == 2
    assert len(answer.stacks[answer.chunks]) == slots - 2


def test_what_no_holder_is_said_to_have_is_for_python(answer: Answer, node: SendingNode) -> None:
    node.store.rows.set_holders(answer.rows[1], ())
    answer.check_stops(1)


def test_an_ephemeral_page_is_for_python(answer: Answer) -> None:
    answer.families[1] = Family.OWN_EPHEMERAL
    answer.check_stops(1)


def test_lists_of_other_lengths_are_refused(answer: Answer) -> None:
    answer.serials.pop()
    with pytest.raises(ValueError, match="other lengths"):
        answer.come_home()


@pytest.mark.parametrize("row", [0, ROWS_MAX, 1 << 32, -1])
def test_the_places_of_rows_that_are_none_are_for_python(
    answer: Answer, loops: "Loops", row: int
) -> None:
    elsewhere = [(position, row) for position, row in enumerate(answer.rows)]
    expected = [(at, answer.serials[at], row) for at, row in elsewhere]
    assert loops.places(elsewhere) == (A, expected)
    assert loops.places([*elsewhere, (4, row)]) is None
    assert loops.places([]) is None


def test_where_pages_are_at_several_holders_is_for_python(
    answer: Answer, loops: "Loops", node: SendingNode
) -> None:
    elsewhere = [(position, row) for position, row in enumerate(answer.rows)]
    for holders in [(A, B), (B,), ()]:
        node.store.rows.set_holders(answer.rows[2], holders)
        assert loops.places(elsewhere) is None


# Leaving.


@pytest.mark.parametrize("block", [0, 2, 1 << 20, (1 << 32) - 1])
def test_a_block_that_is_not_leaving_is_for_python(
    node: SendingNode, loops: "Loops", block: int
) -> None:
    node.put(0, [*RUN, make_page(PAGE_BYTES)])
    assert node.begin().block == 1
    assert loops.gather(block) is None
    assert loops.forget(block) is None
    assert loops.hand_over(block, array("I", [3]), array("Q", [1]), A, 0, 0, 0) is None


def test_a_slot_of_another_row_is_for_python(node: SendingNode, loops: "Loops") -> None:
    """As damaged memory may have it: nothing else than what rows say may leave."""
    node.put(0, RUN)
    leaving = node.begin()
    first, second = (node.store.rows.location(row) for row in leaving.rows[:2])
    slot_rows = node.store.zbud.slot_rows
    for wrong in (leaving.rows[1], ROWS_MAX):
        slot_rows[first] = wrong
        assert loops.gather(leaving.block) is None
        assert loops.forget(leaving.block) is None
    slot_rows[first] = leaving.rows[0]
    node.store.rows.set_location(leaving.rows[1], second + 1)
    assert loops.gather(leaving.block) is None


def test_rows_that_are_none_are_for_python(node: SendingNode, loops: "Loops") -> None:
    node.put(0, RUN)
    leaving = node.begin()
    rows = leaving.rows[:]
    rows[-1] = ROWS_MAX
    for some, serials in [(rows, leaving.serials), (leaving.rows, leaving.serials[1:])]:
        assert loops.hand_over(leaving.block, some, serials, A, 0, 0, 0) is None
    assert not any(map(node.store.rows.holders, leaving.rows))


def test_pages_anywhere_are_served_up_to_a_damaged_one(node: SendingNode, loops: "Loops") -> None:
    del loops
    node.put(0, RUN)
    flip_a_bit(node.store, node.pool, 2)
    pages: list[bytes | None] = []
    page_object = node.store.pools[node.pool].make_object(b"disk")
    assert node.store.twin is not None
    assert node.store.twin.get_each(page_object, [3, 1 << 30, 2, 1], pages, []) == 0
    assert pages == [RUN[3], None]
