"""The machine, one input at a time."""

import random

import pytest

from config.model import TimersConfig
from heartbeat.datagram import DatagramKind as Kind, Message
from heartbeat.knobs import GOSSIP_TICKS_PER_PROBE, RELAYS_MAX, SELF_DOUBT_SUSPECTS_MIN
from heartbeat.swim import Effect, SendDatagram, Swim
from nodemanager.ids import Incarnation, NodeId
from nodemanager.states import NodeState, Verdict
from tests.helpers.heartbeat_messages import DOWN, SUSPECT, UP, message, row

TICK = TimersConfig().probe_seconds / GOSSIP_TICKS_PER_PROBE


def new_swim(nodes: int, now: float = 0) -> Swim:
    others = [NodeId(number) for number in range(1, nodes)]
    return Swim(others, NodeId(0), Incarnation(1), TimersConfig(), now=now, rng=random.Random(1))


def with_all_up(nodes: int) -> Swim:
    swim = new_swim(nodes)
    for node in range(1, nodes):
        swim.on_datagram(message(node), now=0)
    return swim


def sent(effects: list[Effect], kind: Kind) -> list[Message]:
    return [e.message for e in effects if isinstance(e, SendDatagram) and e.message.kind is kind]


def verdicts(effects: list[Effect]) -> list[tuple[int, NodeState]]:
    return [(e.node, e.state) for e in effects if isinstance(e, Verdict)]


def run_until(swim: Swim, end: float) -> list[Effect]:
    effects: list[Effect] = []
    while (due := swim.next_deadline()) is not None and due <= end:
        effects += swim.on_deadline(now=due)
        swim.check_invariants()
    return effects


def keep_alive_until(swim: Swim, end: float, nodes: list[int]) -> list[Effect]:
    """Run, while something comes over the links of these nodes all the time."""
    effects: list[Effect] = []
    while (due := swim.next_deadline()) is not None and due <= end:
        for node in nodes:
            effects += swim.on_heard(NodeId(node), Incarnation(1), now=due)
        effects += swim.on_deadline(now=due)
        swim.check_invariants()
    return effects


def test_a_ping_is_acknowledged_with_its_number() -> None:
    effects = new_swim(2).on_datagram(message(1, 0, Kind.PING, probe=77), now=0)
    assert [ack.probe for ack in sent(effects, Kind.ACK)] == [77]
    assert verdicts(effects) == [(1, UP)]


def test_a_new_incarnation_of_ours_is_told_on_everything_that_leaves() -> None:
    swim = with_all_up(2)
    run_until(swim, 5)
    swim.roster.on_row(row(0, SUSPECT, accuser=1), 5)
    assert swim.roster.refutation == 1
    swim.begin_incarnation(Incarnation(9))
    effects = swim.on_datagram(message(1, 0, Kind.PING, probe=77), now=5)
    [ack] = sent(effects, Kind.ACK)
    assert (ack.incarnation, ack.refutation) == (9, 0)
    assert [each for each in ack.rows if each.node == 0] == [swim.roster.own_row()]
    # What is said of the one before concerns nobody any more.
    swim.roster.on_row(row(0, DOWN, accuser=1), 5)
    assert swim.roster.refutation == 0


def test_a_node_alone_waits_for_nothing() -> None:
    swim = new_swim(1)
    assert swim.next_deadline() is None
    assert swim.on_deadline(now=100) == []


def test_silence_asks_others_then_suspects_then_gives_up() -> None:
    effects = run_until(with_all_up(3), 12)
    assert {request.subject for request in sent(effects, Kind.PING_REQUEST)} <= {1, 2}
    assert [v for v in verdicts(effects) if v[0] == 1] == [(1, SUSPECT), (1, DOWN)]


def test_a_suspect_is_told_at_once() -> None:
    swim = with_all_up(2)
    effects = run_until(swim, 2.1)
    assert (1, SUSPECT) in verdicts(effects)
    told = [ping for ping in sent(effects, Kind.PING) if ping.rows and ping.rows[0].node == 1]
    assert SUSPECT in {ping.rows[0].state for ping in told}


@pytest.mark.parametrize("state", [SUSPECT, DOWN])
def test_an_accusation_of_ourselves_is_denied(state: NodeState) -> None:
    swim = with_all_up(3)
    accusation = row(0, state, refutation=4, accuser=1)
    effects = swim.on_datagram(message(1, 0, Kind.PING, accusation), now=0)
    (ack,) = sent(effects, Kind.ACK)
    assert ack.refutation == 5
    assert swim.statistics().refutations_total == 1
    assert swim.statistics().health_multiplier == 2


def test_what_was_said_of_an_earlier_incarnation_of_ours_is_not_denied() -> None:
    swim = with_all_up(2)
    swim.on_datagram(message(1, 0, Kind.GOSSIP, row(0, DOWN, incarnation=0)), now=0)
    assert swim.statistics().refutations_total == 0


def test_a_denial_ends_a_suspicion_and_the_same_incarnation_said_again_does_not() -> None:
    swim = with_all_up(3)
    effects = swim.on_datagram(message(1, 0, Kind.GOSSIP, row(2, SUSPECT, accuser=1)), now=0)
    assert verdicts(effects) == [(2, SUSPECT)]
    assert verdicts(swim.on_datagram(message(2), now=0)) == []
    assert verdicts(swim.on_datagram(message(2, refutation=1), now=0)) == [(2, UP)]


def test_a_sign_of_life_on_a_link_ends_a_suspicion_and_outweighs_what_others_say() -> None:
    swim = with_all_up(3)
    accusation = message(1, 0, Kind.GOSSIP, row(2, SUSPECT, accuser=1))
    swim.on_datagram(accusation, now=0)
    assert verdicts(swim.on_heard(NodeId(2), Incarnation(1), now=0)) == [(2, UP)]
    assert verdicts(swim.on_datagram(accusation, now=1)) == []
    assert verdicts(swim.on_datagram(accusation, now=9)) == [(2, SUSPECT)]


def test_an_older_incarnation_on_a_link_is_stale() -> None:
    swim = new_swim(2)
    swim.on_heard(NodeId(1), Incarnation(2), now=0)
    assert swim.on_heard(NodeId(1), Incarnation(1), now=0) == []
    assert swim.statistics().stale_news_total == 1


def test_an_incarnation_that_gossip_made_up_ends_at_the_next_sign_of_the_link() -> None:
    """Nobody lives it, so nobody would ever deny it; and what it is accused of would stand for good."""
    swim = new_swim(3)
    swim.on_heard(NodeId(1), Incarnation(2), now=0)
    swim.on_datagram(message(2, 0, Kind.GOSSIP, row(1, DOWN, incarnation=9)), now=1)
    assert swim.roster.members[NodeId(1)].incarnation == 9
    effects = swim.on_heard(NodeId(1), Incarnation(2), now=2)
    assert verdicts(effects) == [(1, UP)]
    assert swim.roster.members[NodeId(1)].incarnation == 2


def test_a_helper_pings_and_brings_the_answer() -> None:
    swim = with_all_up(3)
    effects = swim.on_datagram(message(1, 0, Kind.PING_REQUEST, probe=9, subject=2), now=0)
    (ping,) = sent(effects, Kind.PING)
    assert ping.target == 2
    effects = swim.on_datagram(message(2, 0, Kind.ACK, probe=ping.probe), now=0.1)
    (ack,) = sent(effects, Kind.ACK)
    assert (ack.target, ack.probe, ack.subject) == (1, 9, 2)


def test_a_helper_without_an_answer_says_so() -> None:
    swim = with_all_up(3)
    swim.on_datagram(message(1, 0, Kind.PING_REQUEST, probe=9, subject=2), now=0)
    (nack,) = sent(run_until(swim, 0.45), Kind.NACK)
    assert (nack.target, nack.probe, nack.subject) == (1, 9, 2)


def test_no_more_pings_for_others_than_the_limit() -> None:
    swim = with_all_up(3)
    request = message(1, 0, Kind.PING_REQUEST, probe=9, subject=2)
    pings = [sent(swim.on_datagram(request, now=0), Kind.PING) for _ in range(RELAYS_MAX + 5)]
    assert sum(map(len, pings)) == RELAYS_MAX


def test_many_suspects_make_us_doubt_ourselves() -> None:
    nodes = 2 * SELF_DOUBT_SUSPECTS_MIN
    swim = with_all_up(nodes)
    accused = [row(node, SUSPECT, accuser=1) for node in range(2, nodes)]
    swim.on_datagram(message(1, 0, Kind.GOSSIP, *accused[: SELF_DOUBT_SUSPECTS_MIN - 1]), now=0)
    assert not swim.statistics().is_in_doubt
    swim.on_datagram(message(1, 0, Kind.GOSSIP, *accused), now=0)
    assert swim.statistics().is_in_doubt


def test_our_own_sleep_is_nobodys_silence() -> None:
    swim = with_all_up(2)
    run_until(swim, 0.9)
    assert verdicts(swim.on_deadline(now=300)) == []
    assert swim.statistics().stalls_total == 1


def test_a_member_that_is_down_is_still_told_so() -> None:
    swim = with_all_up(2)
    run_until(swim, 15)
    effects = run_until(swim, 17)
    told = [ping.rows[0] for ping in sent(effects, Kind.PING)]
    assert told
    assert {(each.node, each.state) for each in told} == {(1, DOWN)}


@pytest.mark.parametrize("state", [SUSPECT, DOWN])
def test_a_process_whose_denials_begin_anew_hears_the_number_that_it_has_to_deny(
    state: NodeState,
) -> None:
    """The same incarnation goes on with its memory kept; how often it had denied is forgotten."""
    peer = new_swim(2)
    peer.on_datagram(message(1, refutation=5), now=0)
    peer.roster.on_row(row(1, state, refutation=5), 1)
    again = Swim(
        [NodeId(0)], NodeId(1), Incarnation(1), TimersConfig(), now=1, rng=random.Random(1)
    )
    said = run_until(again, 1.5)
    (ping,) = sent(said, Kind.PING)[:1]
    assert ping.refutation == 0
    answers = sent(peer.on_datagram(ping, now=1.5), Kind.ACK)
    assert row(1, state, refutation=5) in answers[0].rows
    again.on_datagram(answers[0], now=1.5)
    assert again.roster.refutation == 6
    denied = peer.on_datagram(message(1, refutation=again.roster.refutation), now=2)
    assert verdicts(denied) == [(1, UP)]


def test_strangers_and_what_is_for_others_change_nothing() -> None:
    swim = new_swim(2)
    assert swim.on_datagram(message(9), now=0) == []
    assert swim.on_datagram(message(1, 5), now=0) == []
    assert swim.on_datagram(message(1, 0, Kind.PING_REQUEST, subject=9), now=0)[1:] == []


def test_a_new_member_is_greeted_and_given_time() -> None:
    swim = with_all_up(2)
    swim.on_members_changed([NodeId(1), NodeId(5)], now=1)
    effects: list[Effect] = []
    for _ in range(40):
        due = swim.next_deadline()
        assert due is not None
        due = max(due, 1.0)
        swim.on_datagram(message(1), now=due)
        effects += swim.on_deadline(now=due)
        swim.check_invariants()
        if (5, DOWN) in verdicts(effects):
            break
    assert 5 in {ping.target for ping in sent(effects, Kind.PING)}
    swim.on_datagram(message(5), now=100)
    assert swim.statistics().members[UP] >= 1


def test_a_member_that_is_gone_is_probed_no_more() -> None:
    swim = with_all_up(3)
    run_until(swim, 1.2)
    swim.on_members_changed([NodeId(2)], now=1.3)
    swim.check_invariants()
    effects = run_until(swim, 30)
    assert 1 not in {e.message.target for e in effects if isinstance(e, SendDatagram)}
    assert 1 not in {node for node, _ in verdicts(effects)}
    assert swim.on_heard(NodeId(1), Incarnation(9), now=31) == []
    assert swim.on_datagram(message(1), now=31) == []


def test_a_suspicion_that_confirmations_shorten_into_the_past_is_no_sleep_of_ours() -> None:
    """Its end lies seconds back at once; we were awake all the time."""
    swim = with_all_up(6)
    swim.on_datagram(message(1, 0, Kind.GOSSIP, row(5, SUSPECT, accuser=1)), now=0)
    keep_alive_until(swim, 10, [1, 2, 3, 4])
    for accuser in (2, 3):
        swim.on_datagram(message(1, 0, Kind.GOSSIP, row(5, SUSPECT, accuser=accuser)), now=10)
    assert verdicts(swim.on_deadline(now=10.01)) == [(5, DOWN)]
    assert swim.statistics().stalls_total == 0


def test_a_node_that_was_alone_has_not_slept_when_a_member_comes() -> None:
    swim = new_swim(1)
    swim.on_members_changed([NodeId(1)], now=3600)
    assert (1, DOWN) in verdicts(run_until(swim, 3610))
    assert swim.statistics().stalls_total == 0


def at_rest() -> Swim:
    """Return a machine that has told all its news, 30 s old."""
    swim = with_all_up(4)
    keep_alive_until(swim, 30, [1, 2, 3])
    assert swim.statistics().gossip_rows == 0
    return swim


def test_without_news_it_wakes_up_for_its_probes_only() -> None:
    """At the ping, which is the end of the one before, and to ask others about it."""
    swim, wakes, now = at_rest(), 0, 30.0
    while (due := swim.next_deadline()) is not None and due <= 40:
        wakes, now = wakes + 1, max(now, due)
        swim.on_heard(NodeId(1), Incarnation(1), now=now)
        swim.on_deadline(now=now)
    assert wakes <= 2 * 10 + 1


def test_news_that_comes_at_rest_is_told_within_a_tick() -> None:
    swim = at_rest()
    # A denial of an accusation that did not get here.
    swim.on_datagram(message(1, 0, Kind.GOSSIP, row(2, UP, refutation=1)), now=30.01)
    effects = run_until(swim, 30.01 + TICK)
    assert sent(effects, Kind.GOSSIP)


def test_a_sleep_at_rest_is_noticed() -> None:
    swim = at_rest()
    due = swim.next_deadline()
    assert due is not None
    swim.on_deadline(now=due + 2 * TimersConfig().probe_seconds + 0.1)
    assert swim.statistics().stalls_total == 1
