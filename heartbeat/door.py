"""Which received datagrams count as signs of life.  Pure: the check at the door of `heartbeat.service`.

Without a MAC this keeps out accidents, not attackers: a datagram counts when it comes from the configured
address and port of a member, names that member and our cluster, and is newer than the last one that counted.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TypeAlias

from config.model import ClusterConfig
from heartbeat.datagram import BadDatagram, Beat, cluster_digest
from nodemanager.ids import Incarnation, NodeId

# Where a datagram came from or goes to: an IP address in its usual text form, and a port.
Endpoint: TypeAlias = tuple[str, int]


class DropReason(enum.Enum):
    """Why a datagram does not count; a label of the metric, so the values stay."""

    UNKNOWN_SOURCE = "unknown source"
    MALFORMED = "malformed"
    OTHER_CLUSTER = "other cluster"
    WRONG_NODE = "wrong node"
    STALE_INCARNATION = "stale incarnation"
    STALE_SEQUENCE = "stale sequence"


@dataclass(frozen=True, slots=True)
class Drop:
    """A datagram that does not count, and what to log."""

    reason: DropReason
    detail: str


def normal_endpoint(address: str, port: int) -> Endpoint:
    """Return an endpoint that compares equal however its IP address was written.

    Raises:
        ValueError: `address` is not an IP address.
    """
    return str(_parse_address(address)), port


def is_loopback(address: str) -> bool:
    """Whether nobody outside this machine can reach or read `address`."""
    return _parse_address(address).is_loopback


def _parse_address(address: str) -> IPv4Address | IPv6Address:
    parsed = ip_address(address)
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return mapped or parsed


class Door:
    """Admits beats of other members."""

    def __init__(self, cluster: ClusterConfig, local: NodeId) -> None:
        """Know the members by their endpoints.

        Raises:
            ValueError: A member's address is not an IP address.
        """
        self._digest = cluster_digest(cluster.name)
        self._members: Mapping[Endpoint, NodeId] = {
            normal_endpoint(node.address, node.port): NodeId(node.number)
            for node in cluster.node
            if node.number != local
        }
        self._newest: dict[NodeId, tuple[Incarnation, int]] = {}  # at most one entry a member

    def on_members_changed(self, members: Mapping[NodeId, Endpoint]) -> None:
        """Know these members, without us, from now on; one that is gone begins anew when it is back."""
        self._members = {endpoint: node for node, endpoint in members.items()}
        self._newest = {node: last for node, last in self._newest.items() if node in members}

    def admit(self, datagram: bytes, source: Endpoint) -> Beat | Drop:
        """Return the beat if it counts; from now on only newer ones of that node do."""
        member = self._members.get(source)
        if member is None:
            return Drop(DropReason.UNKNOWN_SOURCE, f"from {source[0]} port {source[1]}")
        try:
            beat = Beat.parse(datagram)
        except BadDatagram as error:
            return Drop(DropReason.MALFORMED, f"from node {member}: {error}")
        drop = self._reason_to_drop(beat, member)
        if drop is None:
            self._newest[member] = (beat.incarnation, beat.sequence)
            return beat
        return drop

    def _reason_to_drop(self, beat: Beat, member: NodeId) -> Drop | None:
        if beat.cluster != self._digest:
            return Drop(DropReason.OTHER_CLUSTER, f"from node {member}")
        if beat.node != member:
            return Drop(DropReason.WRONG_NODE, f"node {member} calls itself {beat.node}")
        if member not in self._newest:
            return None
        incarnation, sequence = self._newest[member]
        if beat.incarnation < incarnation:
            detail = f"node {member}: {beat.incarnation} after {incarnation}"
            return Drop(DropReason.STALE_INCARNATION, detail)
        if beat.incarnation == incarnation and beat.sequence <= sequence:
            detail = f"node {member}: {beat.sequence} after {sequence}"
            return Drop(DropReason.STALE_SEQUENCE, detail)
        return None
