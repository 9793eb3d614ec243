"""SWIM with Lifeguard: datagrams and deadlines in, datagrams and verdicts out.  Pure; `heartbeat.service` runs it.

Theory of operation: once in each probe interval we ping one node, the next of a shuffled round.  No answer
within the probe timeout: `indirect_probes` others are asked to ping it for us, so that one bad path is not taken
for a dead node; meanwhile anything that comes over its TCP link counts too (peers tell their STATUS there twice
a second, so no probe of its own is needed).  Still nothing at the end of the interval: it is suspect, hears of
it first, and may deny it; else it is down.  Whatever anyone believes travels on the datagrams that go anyway.
So a node's traffic does not grow with the cluster, apart from greetings at its start, one to each member.

Members are configured, so one that is down is not forgotten: one such node is pinged in each interval, told
what we believe of it, and denies it if it lives.  By that a partition heals.

Silence says nothing when it was we who slept: our own deadline coming much too late ends the probe unjudged and
lets suspicions last longer by as much.  Known weakness: a life that was never heard of by a node that starts
may be played to it from a recording; it does not echo the numbers of our probes, and goes down again.
"""

import math
import random
from collections.abc import Collection
from dataclasses import dataclass
from typing import TypeAlias

from config.model import TimersConfig
from heartbeat.awareness import Awareness
from heartbeat.datagram import ROWS_MAX, DatagramKind, Message, Row
from heartbeat.knobs import GOSSIP_TICKS_PER_PROBE, GREETINGS_PER_TICK, NACK_FRACTION, Knobs
from heartbeat.members import LIVE
from heartbeat.probe import Probe, Relay, Relays
from heartbeat.roster import Roster
from heartbeat.rounds import Rounds
from heartbeat.suspicion import suspicion_seconds_min
from nodemanager.ids import Incarnation, NodeId
from nodemanager.states import NodeState, Verdict

_NO_PROBE = 0


@dataclass(frozen=True, slots=True)
class SendDatagram:
    """A message that shall go to its target."""

    message: Message


Effect: TypeAlias = SendDatagram | Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class SwimStatistics:
    """One snapshot of the failure detector."""

    nodes: dict[NodeState, int]  # how many are in each state; the caller's own copy
    probes_total: int
    probes_failed_total: int
    verdicts_total: int
    refuted_total: int  # how often we denied being suspect or down
    stale_total: int  # news of a life that is over
    stalls_total: int  # how often we noticed that we ourselves had slept
    gossip_rows: int
    health_multiplier: int  # 1: healthy
    is_in_doubt: int  # 1: so many suspects that we rather suspect ourselves


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
        self._local, self._incarnation = local, incarnation
        self._timers, self._rng, self._knobs = timers, rng, knobs or Knobs()
        self._awareness = Awareness(self._knobs.awareness_max)
        self.roster = Roster(
            nodes,
            local,
            incarnation,
            probe_seconds=timers.probe_seconds,
            knobs=self._knobs,
            awareness=self._awareness,
        )
        self._members = self.roster.members
        self._round, self._silent_round = Rounds(rng), Rounds(rng)
        self._relays = Relays()
        self._probe: Probe | None = None
        self._greetings = list(nodes)
        rng.shuffle(self._greetings)
        self._tick_seconds = timers.probe_seconds / GOSSIP_TICKS_PER_PROBE
        self._tick_at = now
        # Nodes that started together do not stay in step.
        self._probe_at = now + rng.random() * timers.probe_seconds
        self._unheard_at = now + self._grace_seconds(len(nodes))
        self._now = now
        self._effects: list[Effect] = []
        self._probes_total = self._probes_failed_total = self._stalls_total = 0

    def on_members_changed(self, nodes: Collection[NodeId], *, now: float) -> None:
        """Watch these members, without ourselves, from now on; new ones are greeted, and given time to be heard."""
        self._advance(now)
        new = self.roster.on_members_changed(nodes)
        self._greetings = [node for node in self._greetings if node in nodes] + new
        # Whoever probes, helps or is probed may be gone: what is under way ends unjudged.
        self._probe = None
        self._relays.clear()
        if new:
            self._unheard_at = now + self._grace_seconds(len(nodes))

    def _grace_seconds(self, members: int) -> float:
        """Return how long after its greeting a node may be silent before it counts as down."""
        greeting_seconds = members / GREETINGS_PER_TICK * self._tick_seconds
        suspicion_seconds = suspicion_seconds_min(
            members + 1, self._timers.probe_seconds, self._knobs
        )
        return greeting_seconds + self._timers.probe_seconds + suspicion_seconds

    def on_heard(self, node: NodeId, incarnation: Incarnation, *, now: float) -> list[Effect]:
        """Note that something came over a member's link; constant time.  Of a stranger it means nothing."""
        self._advance(now)
        if self._members.get(node) is None:
            return []
        self.roster.on_linked(node, incarnation, now)
        return self._take_effects()

    def on_datagram(self, message: Message, *, now: float) -> list[Effect]:
        """Take in what a member told us; that it is genuine and new is checked before (`heartbeat.door`)."""
        self._advance(now)
        sender = self._members.get(message.node)
        if sender is None or message.target != self._local:
            return []
        self.roster.on_row(
            Row(
                message.node,
                NodeState.UP,
                message.incarnation,
                message.refutation,
                message.node,
            ),
            now,
        )
        for row in message.rows:
            self.roster.on_row(row, now)
        match message.kind:
            case DatagramKind.PING:
                self._send(DatagramKind.ACK, message.node, message.probe)
            case DatagramKind.ACK:
                self._on_ack(message)
            case DatagramKind.NACK:
                probe = self._probe
                if probe and message.probe == probe.number and message.node in probe.helpers:
                    probe.helpers[message.node] = True
            case DatagramKind.PING_REQUEST:
                self._on_ping_request(message, now)
            case DatagramKind.GOSSIP:
                pass
        return self._take_effects()

    def on_deadline(self, *, now: float) -> list[Effect]:
        """Probe, tell and judge what is due.  May be called early, which does nothing, or late."""
        self._advance(now)
        due = self.next_deadline()
        if due is None or now < due:
            return []
        if self._knobs.has_grace and now - due > self._timers.probe_seconds:
            self._on_stall(now, now - due)
        for relay in self._relays.take_overdue(now):
            self._send(DatagramKind.NACK, relay.asker, relay.asker_probe, relay.subject)
        if self._probe is not None and now >= self._indirect_at():
            self._ask_others(self._probe)
        if now >= self._probe_at:
            self._end_probe(now)
            self._begin_probe(now)
        if now >= self._tick_at:
            self._tick(now)
        self.roster.end_suspicions(now)
        if now >= self._unheard_at:
            self._unheard_at = math.inf
            self.roster.give_up_unheard()
        return self._take_effects()

    def next_deadline(self) -> float | None:
        """Return when `on_deadline` is due, in monotonic seconds; None: there is nobody to watch."""
        if not len(self._members):
            return None
        return min(
            self._probe_at,
            self._tick_at,
            self._unheard_at,
            self._indirect_at(),
            self._relays.next_deadline(),
            self.roster.next_deadline(),
        )

    def statistics(self) -> SwimStatistics:
        """Return a snapshot."""
        return SwimStatistics(
            nodes={state: self._members.count(state) for state in NodeState},
            probes_total=self._probes_total,
            probes_failed_total=self._probes_failed_total,
            verdicts_total=self.roster.verdicts_total,
            refuted_total=self.roster.refuted_total,
            stale_total=self.roster.stale_total,
            stalls_total=self._stalls_total,
            gossip_rows=len(self.roster.gossip),
            health_multiplier=self._awareness.multiplier,
            is_in_doubt=int(self.roster.is_in_doubt),
        )

    def check_invariants(self) -> None:
        """Assert what must hold between any two inputs."""
        self.roster.check_invariants()
        assert not self._effects, "effects that nobody took"
        assert (self.next_deadline() is None) == (not len(self._members))

    def _begin_probe(self, now: float) -> None:
        multiplier = self._awareness.multiplier
        self._probe_at = now + self._timers.probe_seconds * multiplier
        silent = self._silent_round.next(self._members.silent())
        if silent is not None and not self._greetings:
            self._send(DatagramKind.PING, silent, _NO_PROBE)
        target = self._round.next(self._members.live())
        if target is None:
            return
        self._probes_total += 1
        self._probe = Probe(
            target=target,
            number=self._draw_number(),
            began=now,
            indirect_at=now + self._timers.probe_timeout_seconds * multiplier,
        )
        self._send(DatagramKind.PING, target, self._probe.number)

    def _indirect_at(self) -> float:
        probe = self._probe
        if probe is None or probe.is_answered or probe.is_indirect:
            return math.inf
        return probe.indirect_at

    def _ask_others(self, probe: Probe) -> None:
        probe.is_indirect = True
        others = [
            node
            for node in self._members.live()
            if node != probe.target and self._members[node].state is NodeState.UP
        ]
        count = min(self._knobs.indirect_probes, len(others))
        for helper in self._rng.sample(others, count):
            probe.helpers[helper] = False
            self._send(DatagramKind.PING_REQUEST, helper, probe.number, probe.target)

    def _end_probe(self, now: float) -> None:
        probe, self._probe = self._probe, None
        if probe is None:
            return
        target = self._members[probe.target]
        if probe.is_answered or target.linked_at >= probe.began:
            self._awareness.on_good()
            return
        self._probes_failed_total += 1
        if target.state not in LIVE:
            return
        self._awareness.on_bad(probe.nacks_missing if probe.helpers else 1)
        self.roster.accuse(probe.target, now)
        if self._knobs.has_buddies:
            self._send(DatagramKind.PING, probe.target, _NO_PROBE)

    def _tick(self, now: float) -> None:
        self._tick_at = now + self._tick_seconds
        for _ in range(min(GREETINGS_PER_TICK, len(self._greetings))):
            node = self._greetings.pop()
            if self._members[node].state is NodeState.JOINING:
                self._send(DatagramKind.PING, node, _NO_PROBE)
        if len(self.roster.gossip):
            live = self._members.live()
            for node in self._rng.sample(live, min(self._knobs.gossip_nodes, len(live))):
                self._send(DatagramKind.GOSSIP, node, _NO_PROBE)

    def _on_ack(self, message: Message) -> None:
        relay = self._relays.answered(message.probe, message.node)
        if relay is not None:
            self._send(DatagramKind.ACK, relay.asker, relay.asker_probe, relay.subject)
            return
        probe = self._probe
        if probe is None or message.probe != probe.number:
            return
        if message.node == probe.target or message.node in probe.helpers:
            probe.is_answered = True

    def _on_ping_request(self, message: Message, now: float) -> None:
        if self._members.get(message.subject) is None:
            return
        number = self._draw_number()
        nack_at = now + self._timers.probe_timeout_seconds * NACK_FRACTION
        relay = Relay(message.node, message.probe, message.subject, nack_at)
        if self._relays.add(number, relay):
            self._send(DatagramKind.PING, message.subject, number)

    def _on_stall(self, now: float, seconds: float) -> None:
        self._stalls_total += 1
        self._awareness.on_bad()
        self._probe = None
        self._relays.clear()
        self._probe_at = self._tick_at = now
        self._unheard_at += seconds
        self.roster.postpone(seconds)

    def _send(
        self, kind: DatagramKind, target: NodeId, probe: int, subject: NodeId | None = None
    ) -> None:
        rows = []
        member = self._members.get(target)
        is_told = self._knobs.has_buddies or (member and member.state is NodeState.DOWN)
        if member is not None and is_told and member.state in {NodeState.SUSPECT, NodeState.DOWN}:
            told = member.row()
            rows += [told] if told is not None else []
        rows += self.roster.gossip.take(ROWS_MAX - len(rows))
        message = Message(
            kind=kind,
            node=self._local,
            incarnation=self._incarnation,
            refutation=self.roster.refutation,
            target=target,
            probe=probe,
            subject=target if subject is None else subject,
            rows=tuple(rows),
        )
        self._effects.append(SendDatagram(message))

    def _draw_number(self) -> int:
        return self._rng.getrandbits(64) or 1  # 0 means that no answer is awaited

    def _take_effects(self) -> list[Effect]:
        effects = [*self._effects, *self.roster.verdicts]
        self._effects, self.roster.verdicts = [], []
        return effects

    def _advance(self, now: float) -> None:
        assert now >= self._now, "the clock went backwards"
        self._now = now
