"""Effects of the detector: datagrams to be sent, links to be asked, and verdicts to be told.  Pure.

Every datagram leaves through here, so whatever we believe travels on the datagrams that go anyway
(SWIM, section 4.1), and a suspect hears of it with the next one that goes there (Lifeguard, "Buddy
System").
"""

from dataclasses import dataclass
from typing import Final, TypeAlias

from heartbeat.datagram import ROWS_MAX, DatagramKind, Message, Row
from heartbeat.knobs import Knobs
from heartbeat.roster import Roster
from nodemanager.ids import NodeId
from nodemanager.states import NodeState, Verdict

# The number in a datagram that awaits no answer.
NO_PROBE: Final = 0


@dataclass(frozen=True, slots=True)
class SendDatagram:
    """A message that shall go to its target."""

    message: Message


@dataclass(frozen=True, slots=True)
class AskLink:
    """A member shall say something over its link, if there is one: it may have nothing else to say."""

    node: NodeId


Effect: TypeAlias = SendDatagram | AskLink | Verdict


class Outbox:
    """Collects the effects of one input."""

    def __init__(self, local: NodeId, *, roster: Roster, knobs: Knobs) -> None:
        self._local = local
        self._roster = roster
        self._knobs = knobs
        self._effects: list[Effect] = []

    def __len__(self) -> int:
        return len(self._effects)

    def send(
        self, kind: DatagramKind, target: NodeId, probe: int, subject: NodeId | None = None
    ) -> None:
        """Send a datagram, with as much news on it as fits."""
        rows = self._rows_about(target)
        rows += self._roster.gossip.take(ROWS_MAX - len(rows))
        message = Message(
            kind=kind,
            node=self._local,
            incarnation=self._roster.incarnation,
            refutation=self._roster.refutation,
            target=target,
            probe=probe,
            subject=target if subject is None else subject,
            rows=tuple(rows),
        )
        self._effects.append(SendDatagram(message))

    def ask_link(self, node: NodeId) -> None:
        """Have the link of a node asked for a sign of life."""
        self._effects.append(AskLink(node))

    def take(self) -> list[Effect]:
        """Return all effects since the last time, and forget them."""
        effects = [*self._effects, *self._roster.verdicts]
        self._effects, self._roster.verdicts = [], []
        return effects

    def _rows_about(self, target: NodeId) -> list[Row]:
        """Return what a node must hear of itself, that it may deny it.

        Who is down is told in any case: without that it could never come back in the same
        incarnation.
        """
        member = self._roster.members.get(target)
        if member is None or member.state not in {NodeState.SUSPECT, NodeState.DOWN}:
            return []
        told = member.row()
        is_told = self._knobs.has_buddies or member.state is NodeState.DOWN
        return [told] if told is not None and is_told else []
