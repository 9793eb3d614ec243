"""What scenes are made of: a line that delays, servers on cores, the writer of real pages, and what fio is asked."""

import os
import random
import socket
from collections.abc import Collection, Sequence

import pytest

from benchmarks import delay_line, fio, page_writer, processes
from benchmarks.pages import PAGE_BYTES, fio_pages
from benchmarks.processes import MIB, placed
from benchmarks.suite.works import ProcessorTime
from ramsterd.frontends.nbd.protocol import REQUEST, SIMPLE_REPLY, SIMPLE_REPLY_MAGIC


def test_packets_are_handed_over_in_order_when_they_are_due() -> None:
    # Datagrams, like a tun device: what is read at once is what was written at once.
    here, there = [os.pipe2(os.O_NONBLOCK | os.O_DIRECT) for _ in range(2)]
    way = delay_line.Way(here[0], there[1])
    for number, packet in enumerate((b"first", b"second")):
        os.write(here[1], packet)
        way.take(float(number), delay=5.0)
    way.hand_over(4.9)
    with pytest.raises(BlockingIOError):
        os.read(there[0], 100)
    way.hand_over(5.5)
    assert os.read(there[0], 100) == b"first"
    with pytest.raises(BlockingIOError):
        os.read(there[0], 100)
    way.hand_over(6.0)
    assert os.read(there[0], 100) == b"second"
    for descriptor in (*here, *there):
        os.close(descriptor)


def test_a_device_that_is_down_loses_packets_and_ends_nothing() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    way = delay_line.Way(reader, writer)
    way.packets.append((0.0, b"packet"))
    way.hand_over(1.0)
    assert not way.packets
    os.close(writer)


@pytest.mark.parametrize(
    ("cores", "servers", "expected", "client"),
    [
        # The client has a core of its own if there is one left.
        ({0, 1}, 1, [{1}], 0),
        ({0, 1, 2}, 2, [{2}, {1}], 0),
        # Otherwise it is with the first server.
        ({0, 1}, 2, [{0}, {1}], 0),
        ({2, 5}, 3, [{2}, {5}, {2}], 2),
        ({0}, 2, [], None),
    ],
)
def test_each_server_has_a_core_and_loses_it_afterwards(
    monkeypatch: pytest.MonkeyPatch,
    cores: set[int],
    servers: int,
    expected: list[set[int]],
    client: int | None,
) -> None:
    where: list[tuple[Sequence[int], Collection[int]]] = []
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: cores)
    monkeypatch.setattr(processes, "_place", lambda pids, on: where.append((pids, on)))
    pids = list(range(100, 100 + servers))
    with placed(pids) as core:
        assert core == client
        assert where == [([pid], on) for pid, on in zip(pids, expected, strict=False)]
    assert where[len(expected) :] == ([(pids, cores)] if expected else [])


def test_processor_time_is_counted_from_when_it_is_asked_for_by_page() -> None:
    used = ProcessorTime({"this": os.getpid()})
    for _ in range(20):
        random.Random(1).randbytes(1 << 16)
    once, twice = used.per_page(1)["this"], used.per_page(1000)["this"]
    assert once > 0
    assert twice < once


def test_fios_pages_end_in_zeros_and_are_all_different() -> None:
    pages = fio_pages(10)
    assert {len(page) for page in pages} == {PAGE_BYTES}
    assert all(page.endswith(bytes(PAGE_BYTES * fio.COMPRESS_PERCENT // 100)) for page in pages)
    assert len(set(pages)) == len(pages)


def test_a_mix_counts_what_its_reads_bring() -> None:
    sides = {mode: fio.Job(mode, "4k", 1).side for mode in ("randrw", "read", "randwrite")}
    assert sides == {"randrw": "read", "read": "read", "randwrite": "write"}


def test_a_write_that_fails_is_an_error_and_replies_may_come_in_pieces() -> None:
    here, server = socket.socketpair()
    good, bad = (SIMPLE_REPLY.pack(SIMPLE_REPLY_MAGIC, errno, bytes(8)) for errno in (0, 28))
    with here, server:
        server.sendall(good + good[:5])
        server.sendall(good[5:])
        assert page_writer.take_replies(here, 2) == 2
        server.sendall(good + bad)
        with pytest.raises(RuntimeError, match="errno 28"):
            page_writer.take_replies(here, 2)
        server.close()
        with pytest.raises(RuntimeError, match="closed"):
            page_writer.take_replies(here, 1)


def test_requests_write_other_pages_at_each_place_once(monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = memoryview(b"".join(fio_pages(256)))
    monkeypatch.setattr(page_writer, "corpus", lambda: corpus)
    places = page_writer.places(MIB, PAGE_BYTES, is_random=True)
    assert sorted(places) == list(range(0, MIB, PAGE_BYTES)) != places
    (header, one), (_, other) = (page_writer.pieces_of(place, PAGE_BYTES) for place in places[:2])
    assert REQUEST.unpack(header)[2:] == (places[0], PAGE_BYTES)
    assert one != other
