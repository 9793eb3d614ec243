"""The filter for received datagrams: those that pass are signs of life.  Pure: the check before `heartbeat.service`.

A datagram counts when it comes from an address and the port of a member (`heartbeat.routes`), has
our key's MAC, names that member, us and our cluster, and did not come before.  Without a key this
keeps out accidents, not attackers.
"""

import enum
from dataclasses import dataclass
from typing import Final

from heartbeat.datagram import BadDatagram, Datagram, Message, cluster_digest
from heartbeat.routes import Endpoint, Routes
from heartbeat.seal import BadMac, ReplayWindow, Seal
from nodemanager.ids import Incarnation, NodeId
from nodemanager.incarnations import ATTACH_COUNT_MAX, show_start

# Datagrams of one process: 30 years, with a thousand a second.
PROCESS_SHIFT: Final = 40
assert ATTACH_COUNT_MAX << PROCESS_SHIFT < 1 << 64


class DropReason(enum.Enum):
    """The reason why a datagram is dropped; a label of the metric, so the values stay."""

    UNKNOWN_SOURCE = "unknown source"
    # No member is known to be there, but the address of some member is not known yet: most likely
    # its name is being looked up.
    UNRESOLVED_SOURCE = "unresolved source"
    MALFORMED = "malformed"
    OTHER_CLUSTER = "other cluster"
    WRONG_NODE = "wrong node"
    STALE_INCARNATION = "stale incarnation"
    REPLAYED = "replayed"
    BAD_MAC = "bad mac"
    WRONG_TARGET = "wrong target"


@dataclass(frozen=True, slots=True)
class Drop:
    """A datagram that does not count, and what to log."""

    reason: DropReason
    detail: str
    # Which member sent it, by its address; None: no member has that address.
    node: NodeId | None = None


def first_counter(attach_count: int) -> int:
    """Return the number below all counters of a process.

    A process that goes on as the same incarnation does not know how many datagrams the one before
    has sent: peers would drop as replays what begins at 1 again.
    """
    return attach_count << PROCESS_SHIFT


class DatagramFilter:
    """Admits datagrams of other members, and closes ours."""

    def __init__(
        self,
        cluster: str,
        local: NodeId,
        routes: Routes,
        key: bytes | None,
        *,
        attach_count: int = 0,
    ) -> None:
        """Know the members by their endpoints.

        Args:
            cluster: The name of the cluster.
            local: Our number.
            routes: Where the others are; call `on_members_changed` after it was told of other ones.
            key: Of the MAC; None: without.
            attach_count: How many processes of our incarnation were before this one.
        """
        self._local = local
        self._routes = routes
        self._digest = cluster_digest(cluster)
        self._seal = Seal(key)
        self._counter = first_counter(attach_count)
        self._windows = {node: ReplayWindow() for node in routes.nodes()}
        # The latest process of each member that was heard.
        self._processes: dict[NodeId, tuple[Incarnation, int]] = {}
        self._begun: list[NodeId] = []

    def on_members_changed(self) -> None:
        """Know the members that the routes know from now on.

        One that is gone begins anew when it is back.
        """
        members = self._routes.nodes()
        self._windows = {node: self._windows.get(node) or ReplayWindow() for node in members}
        self._processes = {node: at for node, at in self._processes.items() if node in members}

    def take_begun(self) -> list[NodeId]:
        """Return the members of which a later process than before, or a first datagram after a move, was heard since the last call."""
        begun, self._begun = self._begun, []
        return begun

    def on_linked(self, node: NodeId, incarnation: Incarnation) -> None:
        """Note which incarnation a link has shown: a later one that a datagram claimed is a mistake or a forgery.

        The key is one for all, so a member can forge that; then nothing of the real incarnation
        would count any more.
        """
        window = self._windows.get(node)
        if window is not None and window.is_stale(incarnation):
            self._windows[node] = ReplayWindow()
            self._processes.pop(node, None)

    def on_key_changed(self, key: bytes) -> bool:
        """Close with this key, and open what is closed with it or the present one.

        False: it is the present one.
        """
        seal, self._seal = self._seal, self._seal.changed_to(key)
        return seal is not self._seal

    def forget_previous_key(self) -> None:
        """Open what is closed with the present key, and nothing else."""
        self._seal = self._seal.without_previous()

    def close(self, message: Message) -> bytes:
        """Return a message of ours as a datagram that nobody has seen yet."""
        self._counter += 1
        datagram = Datagram(message=message, cluster=self._digest, counter=self._counter)
        return self._seal.close(datagram.encode())

    def admit(self, data: bytes, source: Endpoint) -> Message | Drop:
        """Return the message if it counts; it does not count a second time."""
        member = self._routes.member_at(source)
        if member is None:
            is_sure = not self._routes.has_unresolved
            reason = DropReason.UNKNOWN_SOURCE if is_sure else DropReason.UNRESOLVED_SOURCE
            return Drop(reason, f"from {source[0]} port {source[1]}")
        try:
            datagram = Datagram.parse(self._seal.open(data))
        except BadMac as error:
            return Drop(DropReason.BAD_MAC, str(error), member)
        except BadDatagram as error:
            return Drop(DropReason.MALFORMED, str(error), member)
        if (drop := self._reason_to_drop(datagram, member)) is not None:
            return drop
        self._note_process(member, datagram)
        if self._routes.on_heard(member, source) and member not in self._begun:
            self._begun.append(member)
        return datagram.message

    def _note_process(self, member: NodeId, datagram: Datagram) -> None:
        process = datagram.message.incarnation, datagram.counter >> PROCESS_SHIFT
        known = self._processes.get(member)
        if known is None or process > known:
            self._processes[member] = process
            self._begun.append(member)

    def _reason_to_drop(self, datagram: Datagram, member: NodeId) -> Drop | None:
        message, window = datagram.message, self._windows[member]
        if datagram.cluster != self._digest:
            return Drop(DropReason.OTHER_CLUSTER, "it names another cluster", member)
        if message.node != member:
            return Drop(
                DropReason.WRONG_NODE, f"it names node number {message.node} as its sender", member
            )
        if message.target != self._local:
            return Drop(DropReason.WRONG_TARGET, f"it is for node number {message.target}", member)
        if window.is_stale(message.incarnation):
            detail = f"it is of an earlier run, started at {show_start(message.incarnation)}"
            return Drop(DropReason.STALE_INCARNATION, detail, member)
        if not window.admit(message.incarnation, datagram.counter):
            return Drop(DropReason.REPLAYED, f"counter {datagram.counter} was used before", member)
        return None
