import math
import random

from heartbeat.greetings import Greetings
from heartbeat.knobs import GOSSIP_TICKS_PER_PROBE, GREETINGS_PER_TICK
from nodemanager.ids import NodeId
from tests.helpers.detector_parts import TIMERS, Parts


def new_greetings(nodes: int, now: float = 0) -> tuple[Parts, Greetings]:
    """Return greetings of members of which nobody was heard."""
    parts = Parts(1)
    others = [NodeId(number) for number in range(1, nodes)]
    parts.roster.on_members_changed(others)
    greetings = Greetings(
        parts.roster.members,
        parts.outbox,
        others,
        timers=TIMERS,
        knobs=parts.knobs,
        rng=random.Random(1),
        now=now,
    )
    return parts, greetings


def test_each_is_greeted_once_some_at_a_tick() -> None:
    parts, greetings = new_greetings(2 * GREETINGS_PER_TICK + 5)
    counts, greeted = [], []
    while len(greetings):
        greetings.on_tick()
        sent = parts.sent()
        counts.append(len(sent))
        greeted += [each.target for each in sent]
    assert counts == [GREETINGS_PER_TICK, GREETINGS_PER_TICK, 4]
    assert sorted(greeted) == list(range(1, 2 * GREETINGS_PER_TICK + 5))


def test_who_was_heard_meanwhile_is_not_greeted() -> None:
    parts, greetings = new_greetings(3)
    parts.roster.give_up_unheard()
    parts.outbox.take()
    greetings.on_tick()
    assert parts.sent() == []


def test_silence_is_over_once_and_no_sooner_than_all_were_greeted_and_could_answer() -> None:
    _, greetings = new_greetings(512, now=100)
    greeting_seconds = 511 / GREETINGS_PER_TICK / GOSSIP_TICKS_PER_PROBE
    at = greetings.next_deadline()
    assert at > 100 + greeting_seconds + TIMERS.probe_seconds
    assert not greetings.is_over(at - 0.01)
    assert greetings.is_over(at)
    assert not greetings.is_over(at + 1)
    assert greetings.next_deadline() == math.inf


def test_our_own_sleep_gives_more_time() -> None:
    _, greetings = new_greetings(3)
    at = greetings.next_deadline()
    greetings.postpone(7)
    assert greetings.next_deadline() == at + 7


def test_a_new_member_is_greeted_and_has_its_own_time() -> None:
    parts, greetings = new_greetings(3)
    greetings.on_tick()
    assert greetings.is_over(1000)
    parts.roster.on_members_changed([NodeId(2), NodeId(9)])
    greetings.on_members_changed([NodeId(2), NodeId(9)], [NodeId(9)], 1000)
    parts.outbox.take()
    greetings.on_tick()
    assert [each.target for each in parts.sent()] == [9]
    assert not greetings.is_over(1001)


def test_a_member_that_is_gone_is_not_greeted() -> None:
    parts, greetings = new_greetings(3)
    parts.roster.on_members_changed([NodeId(2)])
    greetings.on_members_changed([NodeId(2)], [], 1)
    greetings.on_tick()
    assert [each.target for each in parts.sent()] == [2]
