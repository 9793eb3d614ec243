"""The probe that we make: ping one node, ask others to ping it, judge at the end of the interval.  Pure.

SWIM, section 3.1, with the refinement of section 4.3 (`heartbeat.rounds`).  From Lifeguard ("Local
Health Aware Probe") are the NACKs and that interval and timeout are stretched by our own health.
As in memberlist, a failed probe counts against us by the NACKs that are missing; only where there
was nobody to ask does it count by itself (in the paper it always does).  So one dead node, of which
all helpers say "nothing here either", costs no trust in ourselves.
"""

import enum
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from config.model import TimersConfig
from heartbeat.awareness import Awareness
from heartbeat.datagram import DatagramKind, Message
from heartbeat.knobs import Knobs
from heartbeat.members import LIVE, Members
from heartbeat.outbox import Outbox
from heartbeat.relays import draw_number
from heartbeat.rounds import Rounds
from nodemanager.ids import NodeId
from nodemanager.states import NodeState


class ProbeOutcome(enum.Enum):
    """The outcome of a probe; a label of the metric, so the values stay."""

    DIRECT = "direct"  # the target answered us
    INDIRECT = "indirect"  # a helper brought its answer
    LINK = "link"  # no datagram, but its TCP link brought something meanwhile
    FAILED = "failed"
    UNJUDGED = "unjudged"  # we slept, or the target is no member any more or was given up meanwhile


@dataclass(slots=True)
class Probe:
    """One protocol period."""

    target: NodeId
    number: int  # drawn at random: who repeats it has read our datagram
    began: float
    indirect_at: float
    answer: ProbeOutcome | None = None  # DIRECT or INDIRECT, once there is one
    is_indirect: bool = False
    # Who was asked to ping; True: it said that it got no answer either.
    helpers: dict[NodeId, bool] = field(default_factory=dict)

    @property
    def nacks_missing(self) -> int:
        """How many helpers said nothing at all, which makes us doubt ourselves."""
        return sum(not has_nacked for has_nacked in self.helpers.values())


class Prober:
    """Probes one live node in each interval."""

    def __init__(
        self,
        members: Members,
        outbox: Outbox,
        *,
        timers: TimersConfig,
        knobs: Knobs,
        awareness: Awareness,
        rng: random.Random,
    ) -> None:
        self._members = members
        self._outbox = outbox
        self._timers, self._knobs = timers, knobs
        self._awareness = awareness
        self._rng = rng
        self._round = Rounds(rng)
        self._probe: Probe | None = None
        self.outcomes_total = dict.fromkeys(ProbeOutcome, 0)
        self.asked_indirect_probes_total = 0

    @property
    def interval_seconds(self) -> float:
        """Return the probe interval, stretched by our health."""
        return self._timers.probe_seconds * self._awareness.multiplier

    def begin(self, now: float) -> None:
        """Ping the next live node, if there is one; the probe before must have ended."""
        assert self._probe is None
        target = self._round.next(self._members.live())
        if target is None:
            return
        timeout_seconds = self._timers.probe_timeout_seconds * self._awareness.multiplier
        self._probe = Probe(
            target=target,
            number=draw_number(self._rng),
            began=now,
            indirect_at=now + timeout_seconds,
        )
        self._outbox.send(DatagramKind.PING, target, self._probe.number)

    def on_ack(self, message: Message) -> None:
        """Note an answer, from the target or from a helper."""
        probe = self._probe
        if probe is None or message.probe != probe.number or probe.answer is not None:
            return
        if message.node == probe.target:
            probe.answer = ProbeOutcome.DIRECT
        elif message.node in probe.helpers:
            probe.answer = ProbeOutcome.INDIRECT

    def on_nack(self, message: Message) -> None:
        """Note that a helper is alive, though it got no answer either."""
        probe = self._probe
        if probe is not None and message.probe == probe.number and message.node in probe.helpers:
            probe.helpers[message.node] = True

    def on_deadline(self, now: float) -> None:
        """Ask others and the link, when the target did not answer in time."""
        probe = self._probe
        if probe is None or now < self.next_deadline():
            return
        probe.is_indirect = True
        self._outbox.ask_link(probe.target)
        for helper in self._draw_helpers(probe.target):
            probe.helpers[helper] = False
            self.asked_indirect_probes_total += 1
            self._outbox.send(DatagramKind.PING_REQUEST, helper, probe.number, probe.target)

    def next_deadline(self) -> float:
        """Return when others are to be asked."""
        probe = self._probe
        if probe is None or probe.answer is not None or probe.is_indirect:
            return math.inf
        return probe.indirect_at

    def end(self) -> NodeId | None:
        """End the interval: return whom to accuse, None when there is nothing to say against anybody."""
        probe, self._probe = self._probe, None
        if probe is None:
            return None
        outcome = self._judge(probe)
        self.outcomes_total[outcome] += 1
        match outcome:
            case ProbeOutcome.DIRECT | ProbeOutcome.INDIRECT | ProbeOutcome.LINK:
                self._awareness.on_good()
                return None
            case ProbeOutcome.UNJUDGED:
                return None
            case ProbeOutcome.FAILED:
                self._awareness.on_bad(probe.nacks_missing if probe.helpers else 1)
                return probe.target

    def drop(self) -> None:
        """End the probe unjudged."""
        if self._probe is not None:
            self._probe = None
            self.outcomes_total[ProbeOutcome.UNJUDGED] += 1

    def _judge(self, probe: Probe) -> ProbeOutcome:
        target = self._members[probe.target]
        if probe.answer is not None:
            return probe.answer
        if target.linked_at >= probe.began:
            return ProbeOutcome.LINK
        return ProbeOutcome.FAILED if target.state in LIVE else ProbeOutcome.UNJUDGED

    def _draw_helpers(self, target: NodeId) -> Sequence[NodeId]:
        others = [
            node
            for node in self._members.live()
            if node != target and self._members[node].state is NodeState.UP
        ]
        return self._rng.sample(others, min(self._knobs.indirect_probes, len(others)))
