"""What was sent and is stale goes by itself."""

import random

from ramsterd.core.arena import HeapMapping
from ramsterd.core.frames import TableMemory
from ramsterd.core.rows import ROW, ROW_BYTES, Rows
from ramsterd.remote.send.sent_ephemeral import SentEphemeral, kept_frames
from ramsterd.remote.wire import PAGES_PER_FRAME_MAX


def test_the_oldest_comes_first() -> None:
    sent = SentEphemeral(lambda _row, _serial: True)
    sent.append([1, 2], [10, 20])
    sent.append([3], [30])
    assert sent.count == 3
    assert [list(each) for each in sent.serials()] == [[10, 20], [30]]
    assert sent.pop() == [(1, 10), (2, 20)]
    assert sent.pop() == [(3, 30)]
    assert sent.pop() == []
    assert sent.count == 0


def test_stale_entries_never_outnumber_the_others_for_long(seed: int) -> None:
    rng = random.Random(seed)
    current: set[int] = set()
    sent = SentEphemeral(lambda _row, serial: serial in current)
    serial = 0
    for _ in range(400):
        frame = list(range(serial, serial + rng.randrange(1, 30)))
        serial += len(frame)
        current.update(frame)
        sent.append(frame, frame)
        while len(current) > 500:
            current.remove(rng.choice(list(current)))
        known = [each for serials in sent.serials() for each in serials]
        assert len(known) == sent.count
        assert current <= set(known)
        assert sent.count < 2 * len(current) + 200
        if rng.random() < 0.1:
            for _, each in sent.pop():
                current.discard(each)


def test_what_an_earlier_process_sent_is_there_by_holder_the_oldest_page_first(seed: int) -> None:
    rows = Rows(HeapMapping, TableMemory(1 << 20), 1000)
    rng = random.Random(seed)
    serials = rng.sample(range(1, 10_000), 600)
    expected: dict[int, list[tuple[int, int]]] = {7: [], 9: []}
    for row, serial in enumerate(serials, 3):
        holder = rng.choice((7, 9))
        ROW.pack_into(rows.view, row * ROW_BYTES, serial, 0, 0, 0, 0, holder, 0, 0)
        expected[holder].append((serial, row))
    frames = kept_frames(rows, range(3, 3 + len(serials)))
    assert set(frames) == {7, 9}
    for holder, pages in expected.items():
        assert all(len(each) <= PAGES_PER_FRAME_MAX for each, _ in frames[holder])
        sent = SentEphemeral(lambda _row, _serial: True, frames[holder])
        assert sent.count == len(pages)
        popped = []
        while frame := sent.pop():
            popped += frame
        assert popped == [(row, serial) for serial, row in sorted(pages)]


def test_nothing_that_an_earlier_process_sent_is_nothing() -> None:
    assert kept_frames(Rows(HeapMapping, TableMemory(1 << 20), 1000), []) == {}
