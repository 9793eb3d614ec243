"""Reads and writes are counted by how long they took, and by whether the pass that served them had the answer."""

import pytest

from ramsterd.frontends.clients.latency import RequestLatency
from ramsterd.host.latency import LATENCY_BUCKETS, LatencyStatistics


def counted(latency: LatencyStatistics) -> dict[float, int]:
    """Return how many took up to each end, where there were any."""
    return {
        end: count
        for end, count in zip((*LATENCY_BUCKETS, float("inf")), latency.counts, strict=True)
        if count
    }


def test_all_that_one_pass_answers_took_as_long_as_the_pass() -> None:
    latency = RequestLatency()
    latency.began_at = 10.0
    latency.reads += 30
    latency.writes += 2
    latency.end_pass(10.002)
    now = latency.statistics()
    assert counted(now.read_local) == {0.0025: 30}
    assert counted(now.write_local) == {0.0025: 2}
    assert not counted(now.read_peer)
    assert not counted(now.write_peer)


def test_what_is_answered_between_passes_waited_for_a_peer_and_counts_from_its_own_pass() -> None:
    latency = RequestLatency()
    latency.began_at = 10.0
    began_at = latency.began_at
    latency.end_pass(10.0)
    latency.began_at = 10.1
    latency.end_pass(10.1)
    latency.on_read(began_at, is_in_pass=False)
    latency.on_write(began_at, is_in_pass=False)
    latency.on_sent(10.2)
    assert not latency.ended
    now = latency.statistics()
    assert counted(now.read_peer) == counted(now.write_peer) == {0.25: 1}
    assert now.read_peer.seconds_total == pytest.approx(0.2)
    assert not counted(now.read_local)


def test_a_request_of_several_passes_that_needed_no_peer_is_local() -> None:
    latency = RequestLatency()
    latency.began_at = 10.0
    latency.end_pass(10.001)
    latency.began_at = 10.002
    latency.on_read(10.0, is_in_pass=True)
    latency.on_write(10.0, is_in_pass=True)
    latency.end_pass(10.003)
    now = latency.statistics()
    assert counted(now.read_local) == counted(now.write_local) == {0.005: 1}
