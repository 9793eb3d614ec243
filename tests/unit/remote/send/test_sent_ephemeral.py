"""What was sent and is stale goes by itself."""

import random

from ramsterd.remote.send.sent_ephemeral import SentEphemeral


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
