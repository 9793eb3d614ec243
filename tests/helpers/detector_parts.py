"""The parts of a detector, for tests of one of them alone."""

import random

from config.model import TimersConfig
from heartbeat.awareness import Awareness
from heartbeat.datagram import Message
from heartbeat.knobs import Knobs
from heartbeat.outbox import Outbox, SendDatagram
from heartbeat.probe import Prober
from heartbeat.relays import Relays
from heartbeat.roster import Roster
from nodemanager.ids import Incarnation, NodeId
from nodemanager.states import NodeState, Verdict
from tests.helpers.heartbeat_messages import UP, row

TIMERS = TimersConfig()


class Parts:
    """Node 0, with `nodes` - 1 others, of which all are up."""

    def __init__(self, nodes: int, knobs: Knobs | None = None) -> None:
        self.knobs = knobs or Knobs()
        self.others = [NodeId(number) for number in range(1, nodes)]
        self.rng = random.Random(1)
        self.awareness = Awareness(self.knobs.awareness_max)
        self.roster = Roster(
            self.others,
            NodeId(0),
            Incarnation(1),
            probe_seconds=TIMERS.probe_seconds,
            knobs=self.knobs,
            awareness=self.awareness,
        )
        self.outbox = Outbox(NodeId(0), roster=self.roster, knobs=self.knobs)
        for node in self.others:
            self.roster.on_row(row(node, UP, accuser=node), 0)
        while len(self.roster.gossip):
            self.roster.gossip.take(32)
        self.outbox.take()

    def prober(self) -> Prober:
        return Prober(
            self.roster.members,
            self.outbox,
            timers=TIMERS,
            knobs=self.knobs,
            awareness=self.awareness,
            rng=self.rng,
        )

    def relays(self) -> Relays:
        return Relays(self.outbox, probe_timeout_seconds=TIMERS.probe_timeout_seconds, rng=self.rng)

    def sent(self) -> list[Message]:
        """Take what was sent."""
        return [each.message for each in self.outbox.take() if isinstance(each, SendDatagram)]

    def judged(self) -> list[tuple[int, NodeState]]:
        """Take what was judged."""
        return [(e.node, e.state) for e in self.outbox.take() if isinstance(e, Verdict)]
