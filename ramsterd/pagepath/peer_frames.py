"""Peer frames: what a frame of a peer asks of this node, or answers."""

from typing import Final

from net.errors import RemoteProtocolError
from net.frame import Frame
from nodemanager.ids import Incarnation, NodeId
from nodemanager.incarnations import show_ended
from nodemanager.table import PeerStatus
from ramsterd.pagepath.machines import Machines
from ramsterd.pagepath.peer_states import PeerStates
from ramsterd.remote import wire
from ramsterd.remote.wire import MessageType

NOTHING_SAID: Final = (b"", None)


class PeerFrames:
    """Hands each frame to the machine that it is for."""

    def __init__(self, machines: Machines, states: PeerStates) -> None:
        self._machines = machines
        self._states = states
        # The last STATUS of each peer: its bytes, and what they were read as.
        self._said: dict[NodeId, tuple[bytes, PeerStatus]] = {}

    def on_frame(self, node: NodeId, incarnation: Incarnation, frame: Frame, now: float) -> bool:
        """Handle one frame from an incarnation of a peer; return whether anything may follow from it.

        Raises:
            RemoteProtocolError: The peer broke the protocol, or its incarnation has ended.
        """
        if self._machines.nodes.is_stale(node, incarnation):
            name = self._machines.nodes.name(node)
            raise RemoteProtocolError(show_ended(name, incarnation))
        if self._is_repetition(node, frame, now):
            return False
        if frame.is_reply:
            self._on_reply(node, frame, now)
        else:
            self._on_request(node, incarnation, frame, now)
        return True

    def _is_repetition(self, node: NodeId, frame: Frame, now: float) -> bool:
        """Whether a frame is a STATUS that says the same again, and nothing is to be done because of it.

        Nodes at rest send each other little else.  That it says the same is not enough: what it
        means depends on what this node has done since.  So that is asked anew each time, in this
        very step.
        """
        table, said = self._said.get(node, NOTHING_SAID)
        return (
            said is not None
            and frame.type == MessageType.STATUS
            and not frame.is_reply
            and frame.table == table
            and self._machines.nodes.status(node) is said  # on this very link
            and self._states.is_settled_with(node, said)
            and not self._machines.status.is_to_follow(now)
        )

    def _on_request(self, node: NodeId, incarnation: Incarnation, frame: Frame, now: float) -> None:
        foreign, outbox = self._machines.foreign, self._machines.outbox
        if frame.type != MessageType.STATUS:
            self._machines.status.on_asked(node)
        match frame.type:
            case MessageType.PUT_PAGES:
                put = wire.PutPages.parse(frame)
                self._machines.receive_shares.on_put(node, now)
                results = foreign.on_put(node, incarnation, put)
                outbox.reply(node, frame, len(results), results)
            case MessageType.GET_PAGES:
                table, body = foreign.on_get(node, wire.parse_get(frame))
                outbox.reply(node, frame, frame.count, table, body)
            case MessageType.FLUSH_PAGES:
                foreign.on_flush(node, *wire.parse_flush(frame))
            case MessageType.FLUSH_OWNER:
                last = wire.parse_flush_owner(frame)
                if last >= incarnation:
                    self._states.on_departing(node)
                foreign.on_flush_owner(node, last)
            case MessageType.RECALL:
                self._on_recall(node, wire.parse_recall(frame), now)
            case MessageType.LIST_PAGES:
                self._machines.page_lists.on_request(node, frame.request_id, wire.parse_list(frame))
            case MessageType.STATUS:
                status = wire.parse_status(frame)
                self._states.on_status(node, status, now)
                self._said[node] = bytes(frame.table), status
            case _:
                raise RemoteProtocolError(f"frame of type {frame.type}, which is no request")

    def _on_recall(self, node: NodeId, pages_max: int, now: float) -> None:
        """A holder asks for its memory, or says that it does no more."""
        if (holder := self._machines.holders.living(node)) is not None:
            self._machines.background_fetch.on_recall(holder, pages_max, now)

    def _on_reply(self, node: NodeId, frame: Frame, now: float) -> None:
        machines = self._machines
        if (holder := machines.holders.living(node)) is not None:
            machines.flushes.owed.on_answer(holder.id, frame.request_id)
        is_put = machines.remotifier.is_in_flight(frame.request_id)
        is_list = machines.reconciler.is_in_flight(frame.request_id)
        expected = MessageType.LIST_PAGES if is_list else MessageType.GET_PAGES
        expected = MessageType.PUT_PAGES if is_put else expected
        is_bench = machines.bench.is_in_flight(frame.request_id)
        expected = machines.bench.expected(frame.request_id) if is_bench else expected
        if frame.type != expected:
            raise RemoteProtocolError(
                f"answer of type {frame.type} to a request of type {expected}"
            )
        if is_put:
            pages_count = machines.remotifier.pages_in_flight(frame.request_id)
            results = wire.parse_put_reply(frame, pages_count)
            sent_at = machines.remotifier.sent_at(frame.request_id)
            machines.round_trips.on_put(node, now - sent_at)
            machines.remotifier.on_results(frame.request_id, results, now)
        elif is_list:
            machines.reconciler.on_reply(frame.request_id, frame)
        elif is_bench:
            machines.bench.on_reply(frame.request_id, frame)
        elif machines.spot_checks.is_in_flight(frame.request_id):
            machines.spot_checks.on_reply(frame.request_id, frame, now)
        else:
            asked_at = machines.fetches.asked_at(frame.request_id)
            machines.fetches.on_reply(frame.request_id, frame, now)
            machines.round_trips.on_get(node, now - asked_at)

    def on_request_failed(self, request_id: int, now: float) -> None:
        """A request of ours will get no answer: its outcome is unknown."""
        machines = self._machines
        if machines.remotifier.is_in_flight(request_id):
            machines.remotifier.on_unknown(request_id, now)
        elif machines.reconciler.is_in_flight(request_id):
            machines.reconciler.on_request_failed(request_id, now)
        elif machines.spot_checks.is_in_flight(request_id):
            machines.spot_checks.on_request_failed(request_id)
        elif machines.bench.is_in_flight(request_id):
            machines.bench.on_request_failed(request_id)
        else:
            machines.fetches.on_request_failed(request_id)
