from ramsterd.host.logs.line_queue import LineQueue


def test_lines_come_out_in_their_order() -> None:
    queue = LineQueue()
    for entry in (b"a\n", b"b\n"):
        queue.put(entry)
    assert (len(queue), queue.waiting_bytes) == (2, 4)
    assert queue.take() == (b"a\nb\n", 0)
    assert (len(queue), queue.waiting_bytes) == (0, 0)
    assert queue.take() == (b"", 0)


def test_lines_beyond_the_bound_are_dropped_and_counted() -> None:
    queue = LineQueue(lines_max=2)
    for _ in range(5):
        queue.put(b"a\n")
    assert queue.take() == (b"a\na\n", 3)
    queue.put(b"b\n")
    assert queue.take() == (b"b\n", 0)
    assert queue.dropped_total == 3


def test_bytes_are_bounded_too_and_nothing_slips_in_behind_a_gap() -> None:
    queue = LineQueue(bytes_max=4)
    for entry in (b"aaa\n", b"bbb\n", b"\n"):
        queue.put(entry)
    assert queue.take() == (b"aaa\n", 2)
