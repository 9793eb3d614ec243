from heartbeat.datagram import DatagramKind as Kind
from heartbeat.knobs import NACK_FRACTION, RELAYS_MAX
from heartbeat.relays import Relays
from nodemanager.ids import NodeId
from tests.helpers.detector_parts import TIMERS, Parts
from tests.helpers.heartbeat_messages import message

NACK_SECONDS = TIMERS.probe_timeout_seconds * NACK_FRACTION
REQUEST = message(1, 0, Kind.PING_REQUEST, probe=9, subject=2)


def requested(parts: Parts) -> tuple[Relays, int]:
    """Return relays with one under way, and the number of its ping."""
    relays = parts.relays()
    relays.on_request(REQUEST, 0)
    (ping,) = parts.sent()
    assert (ping.kind, ping.target) == (Kind.PING, 2)
    assert ping.probe not in {0, 9}
    return relays, ping.probe


def test_an_answer_goes_to_who_asked_with_its_own_number() -> None:
    parts = Parts(4)
    relays, number = requested(parts)
    assert relays.on_ack(message(2, 0, Kind.ACK, probe=number))
    (ack,) = parts.sent()
    assert (ack.kind, ack.target, ack.probe, ack.subject) == (Kind.ACK, 1, 9, 2)
    assert not len(relays)


def test_no_answer_is_told_before_the_asker_gives_up() -> None:
    parts = Parts(4)
    relays, _ = requested(parts)
    assert relays.next_deadline() == NACK_SECONDS < TIMERS.probe_timeout_seconds
    relays.on_deadline(NACK_SECONDS - 0.01)
    assert parts.sent() == []
    relays.on_deadline(NACK_SECONDS)
    (nack,) = parts.sent()
    assert (nack.kind, nack.target, nack.probe, nack.subject) == (Kind.NACK, 1, 9, 2)


def test_an_answer_after_the_nack_or_of_another_node_is_not_ours() -> None:
    parts = Parts(4)
    relays, number = requested(parts)
    assert not relays.on_ack(message(3, 0, Kind.ACK, probe=number))
    relays.on_deadline(NACK_SECONDS)
    assert not relays.on_ack(message(2, 0, Kind.ACK, probe=number))


def test_over_the_limit_nobody_is_pinged() -> None:
    parts = Parts(4)
    relays = parts.relays()
    for _ in range(RELAYS_MAX + 5):
        relays.on_request(REQUEST, 0)
    assert len(relays) == relays.helped_indirect_probes_total == len(parts.sent()) == RELAYS_MAX


def test_what_is_forgotten_ends_in_silence() -> None:
    parts = Parts(4)
    relays, number = requested(parts)
    relays.clear()
    relays.on_deadline(100)
    assert not relays.on_ack(message(NodeId(2), 0, Kind.ACK, probe=number))
    assert parts.sent() == []
