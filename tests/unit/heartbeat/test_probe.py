"""Our own probe: who is asked, when, and what each ending says of the target and of ourselves."""

import pytest

from heartbeat.datagram import DatagramKind as Kind, Message
from heartbeat.outbox import AskLink
from heartbeat.probe import ProbeOutcome, Prober
from nodemanager.ids import Incarnation, NodeId
from tests.helpers.detector_parts import TIMERS, Parts
from tests.helpers.heartbeat_messages import DOWN, SUSPECT, message, row

TIMEOUT = TIMERS.probe_timeout_seconds


def begun(parts: Parts) -> tuple[Prober, Message]:
    """Return a prober that has sent its ping, and that."""
    prober = parts.prober()
    prober.begin(0)
    (ping,) = parts.sent()
    assert ping.kind is Kind.PING
    return prober, ping


def asked(parts: Parts, prober: Prober) -> list[Message]:
    """Let the timeout pass; return what went to helpers."""
    prober.on_deadline(TIMEOUT)
    return parts.sent()


def ended(prober: Prober) -> ProbeOutcome:
    """Return how the only probe has ended."""
    (outcome,) = [each for each, count in prober.outcomes_total.items() if count]
    return outcome


def test_an_answer_of_the_target_asks_nobody_else() -> None:
    parts = Parts(5)
    prober, ping = begun(parts)
    prober.on_ack(message(ping.target, 0, Kind.ACK, probe=ping.probe))
    assert asked(parts, prober) == []
    assert prober.end() is None
    assert ended(prober) is ProbeOutcome.DIRECT


def test_after_the_timeout_three_others_are_asked_once() -> None:
    parts = Parts(9)
    prober, ping = begun(parts)
    prober.on_deadline(TIMEOUT - 0.01)
    assert parts.sent() == []
    requests = asked(parts, prober)
    assert {(each.kind, each.probe, each.subject) for each in requests} == {
        (Kind.PING_REQUEST, ping.probe, ping.target)
    }
    helpers = {each.target for each in requests}
    assert len(helpers) == len(requests) == prober.asked_indirect_probes_total == 3
    assert ping.target not in helpers
    assert asked(parts, prober) == []


def test_after_the_timeout_the_link_of_the_target_is_asked_once() -> None:
    parts = Parts(2)
    prober, ping = begun(parts)
    prober.on_deadline(TIMEOUT - 0.01)
    assert parts.outbox.take() == []
    prober.on_deadline(TIMEOUT)
    assert parts.outbox.take() == [AskLink(ping.target)]
    prober.on_deadline(TIMEOUT + 0.1)
    assert parts.outbox.take() == []


def test_suspects_are_not_asked_for_help() -> None:
    parts = Parts(5)
    for node in parts.others:
        parts.roster.on_row(row(node, SUSPECT, accuser=1), 0)
    parts.outbox.take()
    prober = parts.prober()
    prober.begin(0)
    parts.sent()
    assert asked(parts, prober) == []


def test_an_answer_through_a_helper_is_an_answer() -> None:
    parts = Parts(5)
    prober, ping = begun(parts)
    helper = asked(parts, prober)[0].target
    prober.on_ack(message(helper, 0, Kind.ACK, probe=ping.probe, subject=ping.target))
    assert prober.end() is None
    assert ended(prober) is ProbeOutcome.INDIRECT


def test_what_came_over_the_link_meanwhile_is_an_answer_and_what_came_before_is_not() -> None:
    parts = Parts(5)
    prober, ping = begun(parts)
    parts.roster.on_linked(ping.target, Incarnation(1), 0.3)
    assert prober.end() is None
    assert ended(prober) is ProbeOutcome.LINK

    for node in parts.others:
        parts.roster.on_linked(node, Incarnation(1), 0.9)
    prober.begin(1)
    assert prober.end() is not None


@pytest.mark.parametrize("nacks", [0, 1, 2, 3])
def test_silence_accuses_the_target_and_each_missing_nack_ourselves(nacks: int) -> None:
    parts = Parts(5)
    prober, ping = begun(parts)
    for request in asked(parts, prober)[:nacks]:
        prober.on_nack(message(request.target, 0, Kind.NACK, probe=ping.probe))
    assert prober.end() == ping.target
    assert ended(prober) is ProbeOutcome.FAILED
    assert parts.awareness.multiplier == 1 + 3 - nacks


def test_with_nobody_to_ask_a_failed_probe_counts_against_ourselves() -> None:
    parts = Parts(2)
    prober, ping = begun(parts)
    assert asked(parts, prober) == []
    assert prober.end() == ping.target
    assert parts.awareness.multiplier == 2


def test_an_answer_restores_trust_in_ourselves() -> None:
    parts = Parts(3)
    parts.awareness.on_bad(2)
    prober, ping = begun(parts)
    prober.on_ack(message(ping.target, 0, Kind.ACK, probe=ping.probe))
    prober.end()
    assert parts.awareness.multiplier == 2


def test_bad_health_stretches_timeout_and_interval() -> None:
    parts = Parts(3)
    parts.awareness.on_bad(7)
    prober, _ = begun(parts)
    assert prober.next_deadline() == 8 * TIMEOUT
    assert prober.interval_seconds == 8 * TIMERS.probe_seconds


@pytest.mark.parametrize(
    ("node", "probe"), [(None, 1), (4, None)], ids=["another number", "who was not asked"]
)
def test_an_answer_that_was_not_awaited_is_none(node: int | None, probe: int | None) -> None:
    parts = Parts(5)
    prober, ping = begun(parts)
    stranger = next(each for each in parts.others if each != ping.target)
    sender = ping.target if node is None else stranger
    number = ping.probe if probe is None else probe
    prober.on_ack(message(sender, 0, Kind.ACK, probe=number))
    prober.on_nack(message(sender, 0, Kind.NACK, probe=number))
    assert prober.end() == ping.target


def test_a_target_that_was_given_up_meanwhile_is_not_accused() -> None:
    parts = Parts(5)
    prober, ping = begun(parts)
    parts.roster.on_row(row(ping.target, DOWN, accuser=1), 0.5)
    assert prober.end() is None
    assert ended(prober) is ProbeOutcome.UNJUDGED
    assert parts.awareness.multiplier == 1


def test_a_dropped_probe_says_nothing() -> None:
    parts = Parts(5)
    prober, ping = begun(parts)
    prober.drop()
    prober.on_ack(message(ping.target, 0, Kind.ACK, probe=ping.probe))
    assert prober.end() is None
    assert ended(prober) is ProbeOutcome.UNJUDGED


def test_with_nobody_alive_nothing_is_probed() -> None:
    parts = Parts(2)
    parts.roster.on_row(row(1, DOWN, accuser=1), 0)
    parts.outbox.take()
    prober = parts.prober()
    prober.begin(0)
    assert parts.sent() == []
    assert prober.end() is None
    assert not any(prober.outcomes_total.values())


def test_all_are_probed_in_turn() -> None:
    parts = Parts(6)
    prober = parts.prober()
    targets = []
    for now in range(5):
        prober.begin(now)
        targets += [each.target for each in parts.sent()]
        prober.drop()
    assert sorted(targets) == [NodeId(number) for number in range(1, 6)]
