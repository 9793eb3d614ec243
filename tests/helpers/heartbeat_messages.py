"""Messages for tests, with everything that a test does not care about filled in."""

from heartbeat.datagram import DatagramKind, Message, Row
from nodemanager.ids import Incarnation, NodeId
from nodemanager.states import NodeState

UP, SUSPECT, DOWN = NodeState.UP, NodeState.SUSPECT, NodeState.DOWN


def message(
    node: int,
    target: int = 0,
    kind: DatagramKind = DatagramKind.GOSSIP,
    *rows: Row,
    incarnation: int = 1,
    refutation: int = 0,
    probe: int = 0,
    subject: int | None = None,
) -> Message:
    return Message(
        kind=kind,
        node=NodeId(node),
        incarnation=Incarnation(incarnation),
        refutation=refutation,
        target=NodeId(target),
        probe=probe,
        subject=NodeId(target if subject is None else subject),
        rows=rows,
    )


def row(
    node: int, state: NodeState, *, incarnation: int = 1, refutation: int = 0, accuser: int = 0
) -> Row:
    return Row(NodeId(node), state, Incarnation(incarnation), refutation, NodeId(accuser))
