"""Records of objects: there as long as an object has pages, and free when it has none."""

from ramsterd.core.arena import FRAME_BYTES, HeapMapping
from ramsterd.core.frames import TableMemory
from ramsterd.core.objects import OBJECT_HEAP_BYTES, Objects, PageObject
from ramsterd.core.page import OBJECT_ID_BYTES_MAX, PoolId
from ramsterd.core.table_words import HOLE, OBJECT, OBJECT_BYTES, ZERO, pack_root_of_zeros

POOL = PoolId(7)
ID = b"i" * OBJECT_ID_BYTES_MAX


def make_objects(bytes_max: int = 1 << 30) -> tuple[Objects, TableMemory]:
    memory = TableMemory(bytes_max)
    return Objects(HeapMapping, memory, 200), memory


def test_a_record_says_whose_object_it_is_and_where_its_tree_begins() -> None:
    objects, _ = make_objects()
    page_object = PageObject(POOL, ID)
    assert objects.add(page_object)
    assert objects.record(page_object.number) == (0, POOL, ID), "it has no pages yet"
    objects.set_root(page_object, 33, 6, 2)
    assert objects.record(page_object.number) == (33, POOL, ID)
    assert (page_object.root, page_object.shift, page_object.prefix) == (33, 6, 2)
    objects.set_root(page_object, ZERO, 6, 2)
    assert objects.record(page_object.number) == (pack_root_of_zeros(1, 2), POOL, ID)


def test_without_pages_a_record_is_free() -> None:
    objects, memory = make_objects()
    before = memory.used_bytes
    page_object = PageObject(POOL, ID)
    objects.add(page_object)
    number = page_object.number
    objects.set_root(page_object, 33, 6, 2)
    assert memory.used_bytes == objects.resident_bytes() == before + OBJECT_HEAP_BYTES
    objects.set_root(page_object, HOLE, 6, 2)
    assert (objects.used, page_object.number) == (0, 0)
    assert objects.record(number)[:2] == (0, 0)
    assert memory.used_bytes == objects.resident_bytes() == before


def test_an_object_without_room_changes_nothing() -> None:
    for room in (OBJECT_HEAP_BYTES - 1, OBJECT_HEAP_BYTES * 64):
        objects, memory = make_objects(FRAME_BYTES + room)
        added = []
        while objects.add(page_object := PageObject(POOL, b"")):
            added.append(page_object)
        assert objects.used == len(added) == room // OBJECT_HEAP_BYTES - (room > FRAME_BYTES)
        assert page_object.number == 0
        assert memory.used_bytes == objects.resident_bytes()


def test_records_that_an_earlier_process_left_without_an_object_are_free() -> None:
    mapping = HeapMapping("objects", 200 * OBJECT_BYTES)
    for number in (1, 2, 150):
        OBJECT.pack_into(mapping.view, number * OBJECT_BYTES, 33, POOL, 1, b"x", 0)
    objects = Objects(lambda *_: mapping, TableMemory(1 << 30), 200)
    objects.adopt([PageObject(POOL, b"x", root=33, number=2)])
    assert objects.used == 1
    assert [objects.record(number)[:2] for number in (1, 2, 150)] == [(0, 0), (33, POOL), (0, 0)]
    other = PageObject(POOL, b"y")
    objects.add(other)
    assert other.number == 1
    objects.check_invariants()
