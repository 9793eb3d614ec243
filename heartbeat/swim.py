"""SWIM with Lifeguard: datagrams and deadlines in, datagrams and verdicts out.  Pure.

`heartbeat.service` runs it.

Theory of operation: once in each probe interval we ping one node, the next of a shuffled round.  No
answer within the probe timeout: `indirect_probes` others are asked to ping it for us, so that one
bad path is not taken for a dead node; meanwhile anything that comes over its TCP link counts too
(the link is asked for it, since one that is at rest brings something each 1.4 s only).
Still nothing at the end of the interval: it is suspect, hears of it first, and may deny it; else it
is down.
Whatever anyone believes travels on the datagrams that go anyway.  So a node's traffic does not grow
with the cluster, apart from greetings at its start, one to each member.

Members are configured, so one that is down is not forgotten: one such node is pinged in each
interval, told what we believe of it, and denies it if it is alive.  By that a partition heals.

Silence says nothing when it was we who slept: our own deadline coming much too late ends the probe
unjudged and lets suspicions last longer by as much.  Known weakness: an incarnation that was never
heard of by a node that starts may be played to it from a recording; it does not echo the numbers of
our probes, and goes down again.

This module holds the parts together and knows whose turn it is: `roster` says what is believed,
`probe` and `relays` make probes, `greetings` finds who was not heard yet, `outbox` puts news on all
that leaves.
"""

import random
from collections.abc import Collection

from config.model import TimersConfig
from heartbeat.awareness import Awareness
from heartbeat.datagram import DatagramKind, Message, Row
from heartbeat.greetings import Greetings
from heartbeat.knobs import GOSSIP_TICKS_PER_PROBE, Knobs
from heartbeat.outbox import NO_PROBE, AskLink, Effect, Outbox, SendDatagram
from heartbeat.probe import Prober
from heartbeat.relays import Relays
from heartbeat.roster import Roster
from heartbeat.rounds import Rounds
from heartbeat.statistics import SwimStatistics
from nodemanager.ids import Incarnation, NodeId
from nodemanager.states import NodeState

# The shell that runs the machine handles its effects.
__all__ = ["AskLink", "Effect", "SendDatagram", "Swim", "SwimStatistics"]


class Swim:
    """The failure detector of one node."""

    def __init__(
        self,
        nodes: Collection[NodeId],
        local: NodeId,
        incarnation: Incarnation,
        timers: TimersConfig,
        *,
        now: float,
        rng: random.Random,
        knobs: Knobs | None = None,
    ) -> None:
        """Begin to probe `nodes` (without ourselves)."""
        assert 0 < timers.probe_timeout_seconds < timers.probe_seconds
        knobs = knobs or Knobs()
        self._local = local
        self._timers, self._rng, self._knobs = timers, rng, knobs
        self._tick_seconds = timers.probe_seconds / GOSSIP_TICKS_PER_PROBE
        self._awareness = Awareness(knobs.awareness_max)
        self.roster = Roster(
            nodes,
            local,
            incarnation,
            probe_seconds=timers.probe_seconds,
            knobs=knobs,
            awareness=self._awareness,
        )
        self._members = self.roster.members
        self._outbox = Outbox(local, roster=self.roster, knobs=knobs)
        self._prober = Prober(
            self._members,
            self._outbox,
            timers=timers,
            knobs=knobs,
            awareness=self._awareness,
            rng=rng,
        )
        self._relays = Relays(
            self._outbox, probe_timeout_seconds=timers.probe_timeout_seconds, rng=rng
        )
        self._greetings = Greetings(
            self._members, self._outbox, nodes, timers=timers, knobs=knobs, rng=rng, now=now
        )
        self._silent_round = Rounds(rng)
        self._tick_at = now
        # Nodes that started together do not stay in step.
        self._probe_at = now + rng.random() * timers.probe_seconds
        self._now = now
        self._stalls_total = 0

    def on_members_changed(self, nodes: Collection[NodeId], *, now: float) -> None:
        """Watch these members, without ourselves, from now on.

        New ones are greeted, and given time to be heard.
        """
        self._advance(now)
        if not len(self._members):
            # Alone, nothing was due; that is no sleep.
            self._probe_at = self._tick_at = now
        new = self.roster.on_members_changed(nodes)
        self._greetings.on_members_changed(nodes, new, now)
        # The prober, the helper or the target may be gone: what is under way ends unjudged.
        self._prober.drop()
        self._relays.clear()
        self._hasten_tick()

    def begin_incarnation(self, incarnation: Incarnation) -> None:
        """Be this from now on."""
        self.roster.begin_incarnation(incarnation)
        self._hasten_tick()

    def on_heard(self, node: NodeId, incarnation: Incarnation, *, now: float) -> list[Effect]:
        """Note that something came over a member's link.

        Constant time.  Of a node that is no member it means nothing.
        """
        self._advance(now)
        if self._members.get(node) is None:
            return []
        if not self.roster.on_linked(node, incarnation, now):
            return []
        self._hasten_tick()
        return self._outbox.take()

    def on_datagram(self, message: Message, *, now: float) -> list[Effect]:
        """Take in what a member told us.

        That it is genuine and new is checked before (`heartbeat.datagram_filter`).
        """
        self._advance(now)
        if self._members.get(message.node) is None or message.target != self._local:
            return []
        self.roster.on_row(_says_of_itself(message), now)
        for row in message.rows:
            self.roster.on_row(row, now)
        match message.kind:
            case DatagramKind.PING:
                self._outbox.send(DatagramKind.ACK, message.node, message.probe)
            case DatagramKind.ACK:
                if not self._relays.on_ack(message):
                    self._prober.on_ack(message)
            case DatagramKind.NACK:
                self._prober.on_nack(message)
            case DatagramKind.PING_REQUEST:
                if self._members.get(message.subject) is not None:
                    self._relays.on_request(message, now)
            case DatagramKind.GOSSIP:
                pass
        self._hasten_tick()
        return self._outbox.take()

    def on_deadline(self, *, now: float) -> list[Effect]:
        """Probe, tell and judge what is due.  May be called early, which does nothing, or late."""
        self._advance(now)
        due = self.next_deadline()
        if due is None or now < due:
            return []
        # By the tick, which is due within a probe interval at the latest: other deadlines may move
        # into the past, as that of a suspicion does when it is confirmed late.
        late_seconds = now - self._tick_at
        if self._knobs.has_grace and late_seconds > self._timers.probe_seconds:
            self._on_stall(now, late_seconds)
        self._relays.on_deadline(now)
        self._prober.on_deadline(now)
        if now >= self._probe_at:
            self._end_probe(now)
            self._begin_probe(now)
        if now >= self._tick_at:
            self._tick(now)
        self.roster.end_suspicions(now)
        if self._greetings.is_over(now):
            self.roster.give_up_unheard()
        self._hasten_tick()
        return self._outbox.take()

    def next_deadline(self) -> float | None:
        """Return when `on_deadline` is due, in monotonic seconds.

        None: there is nobody to watch.
        """
        if not len(self._members):
            return None
        return min(
            self._probe_at,
            self._tick_at,
            self._greetings.next_deadline(),
            self._prober.next_deadline(),
            self._relays.next_deadline(),
            self.roster.next_deadline(),
        )

    @property
    def is_starved(self) -> bool:
        """Whether we do so badly that others should ask us for nothing."""
        return self.roster.is_in_doubt or self._awareness.is_at_worst

    def statistics(self) -> SwimStatistics:
        """Return a snapshot."""
        roster = self.roster
        return SwimStatistics(
            members={state: self._members.count(state) for state in NodeState},
            probes_total=dict(self._prober.outcomes_total),
            asked_indirect_probes_total=self._prober.asked_indirect_probes_total,
            helped_indirect_probes_total=self._relays.helped_indirect_probes_total,
            accusations_total=roster.accusations_total,
            suspicions_total=roster.suspicions_total,
            cleared_suspicions_total=roster.cleared_suspicions_total,
            downs_total=roster.downs_total,
            cleared_downs_total=roster.cleared_downs_total,
            verdicts_total=roster.verdicts_total,
            refutations_total=roster.refutations_total,
            stale_news_total=roster.stale_news_total,
            stalls_total=self._stalls_total,
            gossip_rows=len(roster.gossip),
            health_multiplier=self._awareness.multiplier,
            is_in_doubt=roster.is_in_doubt,
            is_starved=self.is_starved,
        )

    def check_invariants(self) -> None:
        """Assert what must hold between any two inputs."""
        self.roster.check_invariants()
        assert not len(self._outbox), "effects that nobody took"
        assert (self.next_deadline() is None) == (not len(self._members))

    def _begin_probe(self, now: float) -> None:
        self._probe_at = now + self._prober.interval_seconds
        silent = self._silent_round.next(self._members.silent())
        if silent is not None and not len(self._greetings):
            self._outbox.send(DatagramKind.PING, silent, NO_PROBE)
        self._prober.begin(now)

    def _end_probe(self, now: float) -> None:
        target = self._prober.end()
        if target is None:
            return
        self.roster.accuse(target, now)
        if self._knobs.has_buddies:
            self._outbox.send(DatagramKind.PING, target, NO_PROBE)

    @property
    def _has_news(self) -> bool:
        """Whether there is anything that leaves at a tick."""
        return bool(len(self.roster.gossip) or len(self._greetings))

    def _hasten_tick(self) -> None:
        """There may be news, and the tick was as late as it is without."""
        if self._has_news:
            self._tick_at = min(self._tick_at, self._now + self._tick_seconds)

    def _tick(self, now: float) -> None:
        self._greetings.on_tick()
        self._tell_some()
        # Without news it comes with the next probe: a node at rest wakes up less often.
        at_rest = min(self._probe_at, now + self._timers.probe_seconds)
        self._tick_at = max(at_rest, now + self._tick_seconds)

    def _tell_some(self) -> None:
        if not len(self.roster.gossip):
            return
        live = self._members.live()
        for node in self._rng.sample(live, min(self._knobs.gossip_nodes, len(live))):
            if not len(self.roster.gossip):
                return
            self._outbox.send(DatagramKind.GOSSIP, node, NO_PROBE)

    def _on_stall(self, now: float, seconds: float) -> None:
        self._stalls_total += 1
        self._awareness.on_bad()
        self._prober.drop()
        self._relays.clear()
        self._probe_at = self._tick_at = now
        self._greetings.postpone(seconds)
        self.roster.postpone(seconds)

    def _advance(self, now: float) -> None:
        assert now >= self._now, "the clock went backwards"
        self._now = now


def _says_of_itself(message: Message) -> Row:
    """Return what every datagram proves: this incarnation of its sender is up."""
    return Row(message.node, NodeState.UP, message.incarnation, message.refutation, message.node)
