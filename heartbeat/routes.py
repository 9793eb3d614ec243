"""Where datagrams of members come from, and where ours go.  Pure.

A member may have several addresses (`ramsterd.membership.address_book` knows which), and not all of
them need work from here.  So ours go where the last datagram that counted came from, and when
nothing comes back, to the next address in turn.

A member that has moved listens at its old address until it has the new one, and nobody knows when
that is.  So its old addresses count until it is heard at a new one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, TypeAlias

from config.endpoint import parse_host
from config.limits import NODES_MAX
from config.model import ClusterConfig
from nodemanager.ids import NodeId

# Where a datagram came from or goes to: an IP address in its usual text form, and a port.
Endpoint: TypeAlias = tuple[str, int]
# So many datagrams to one address without one from there, and the next ones go to another.
UNANSWERED_MAX: Final = 3
# How many addresses are read once: to read one takes longer than all else that is done with a
# datagram.  More than a cluster has nodes.
ADDRESSES_KNOWN_MAX: Final = 1024
assert NODES_MAX < ADDRESSES_KNOWN_MAX


def normal_endpoint(address: str, port: int) -> Endpoint:
    """Return an endpoint that compares equal however its IP address was written.

    Raises:
        ValueError: `address` is not an IP address.
    """
    return _normal_address(address), port


@lru_cache(ADDRESSES_KNOWN_MAX)
def _normal_address(address: str) -> str:
    return str(_parse_address(address))


@lru_cache(ADDRESSES_KNOWN_MAX)
def is_loopback(address: str) -> bool:
    """Whether nobody outside this machine can reach or read `address`."""
    return _parse_address(address).is_loopback


def _parse_address(address: str) -> IPv4Address | IPv6Address:
    parsed = ip_address(address)
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return mapped or parsed


def written_endpoints(cluster: ClusterConfig, local: NodeId) -> dict[NodeId, tuple[Endpoint, ...]]:
    """Return where the other members are, as far as the cluster file says so itself: of a name it does not."""
    return {
        NodeId(node.number): ()
        if isinstance(parse_host(node.address), str)
        else (normal_endpoint(node.address, node.port),)
        for node in cluster.node
        if node.number != local
    }


@dataclass(slots=True)
class _Route:
    endpoints: tuple[Endpoint, ...]
    # Those before the last change, until the member is heard at one of the present ones.
    former: tuple[Endpoint, ...] = ()
    at: int = 0
    unanswered: int = 0
    known: tuple[Endpoint, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.known = self.endpoints + self.former


class Routes:
    """The endpoints of all other members."""

    def __init__(self, members: Mapping[NodeId, Sequence[Endpoint]]) -> None:
        self._routes = {node: _Route(tuple(endpoints)) for node, endpoints in members.items()}
        self._members: dict[Endpoint, NodeId] = {}
        # Whether the name of a member has no address yet: what comes from anywhere may be that member's.
        self.has_unresolved = False
        self._index()

    def nodes(self) -> list[NodeId]:
        """Return the members."""
        return list(self._routes)

    def on_changed(self, members: Mapping[NodeId, Sequence[Endpoint]]) -> None:
        """Know these members, at these endpoints, from now on."""
        routes = {}
        for node, endpoints in members.items():
            route, new = self._routes.get(node), tuple(endpoints)
            if route is None:
                route = _Route(new)
            elif route.endpoints != new:
                former = tuple(each for each in route.known if each not in new)
                route = _Route(new, former if new else route.known)
            routes[node] = route
        self._routes = routes
        self._index()

    def member_at(self, source: Endpoint) -> NodeId | None:
        """Return whose endpoint this is."""
        return self._members.get(source)

    def target(self, node: NodeId) -> Endpoint | None:
        """Return where the next datagram to a member goes; None: it has no address."""
        route = self._routes[node]
        if not route.known:
            return None
        if route.unanswered >= UNANSWERED_MAX:
            route.at, route.unanswered = (route.at + 1) % len(route.known), 0
        route.unanswered += 1
        return route.known[route.at]

    def on_heard(self, node: NodeId, source: Endpoint) -> bool:
        """A datagram of a member that counts came from there.

        Return whether that is the first one from where it has moved to.
        """
        route = self._routes[node]
        has_moved = bool(route.former) and source in route.endpoints
        if has_moved:
            self._routes[node] = route = _Route(route.endpoints)
            self._index()
        route.at, route.unanswered = route.known.index(source), 0
        return has_moved

    def _index(self) -> None:
        """Note whose endpoints are whose: present ones before former ones, which somebody else may have by now."""
        self._members = {
            endpoint: node for node, route in self._routes.items() for endpoint in route.former
        }
        self._members |= {
            endpoint: node for node, route in self._routes.items() for endpoint in route.endpoints
        }
        self.has_unresolved = not all(route.known for route in self._routes.values())
