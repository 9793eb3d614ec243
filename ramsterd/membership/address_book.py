"""Which addresses the members have: what their names meant when they were last looked up, and when to look again.  Pure.

A member is an IP address or a host name in cluster.toml.  A name is looked up when the daemon
starts and for each new connection, unless that was done a moment ago (`FRESH_SECONDS`).  Between
connections heartbeats need to know, too: so names are looked up again now and then, and often while
their node is not heard, for then it may be elsewhere.

A name that is not found any more keeps the addresses that it had: a name server that is away is no
reason to lose nodes that run.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from config.endpoint import parse_host
from config.model import ClusterConfig, NodeConfig
from heartbeat.routes import Endpoint, normal_endpoint
from net.moves import Address
from nodemanager.ids import NodeId

# How long an answer counts for new connections.  As long as the longest pause of a dialler: a name
# that has moved is dialled at its new address with the next try, or the one after it.
FRESH_SECONDS: Final = 10.0
# How long it counts for the heartbeats of a node that is up, and for our own name.
SETTLED_SECONDS: Final = 300.0
assert FRESH_SECONDS < SETTLED_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class NameRow:
    """One name of a member, as it was last looked up."""

    host: str
    addresses: tuple[str, ...]
    # Why it was not found; empty: it was, or it was not looked up yet.
    problem: str


@dataclass(slots=True)
class _Name:
    addresses: tuple[str, ...] = ()
    problem: str = ""
    asked_at: float = -math.inf


class AddressBook:
    """All members, with us among them."""

    def __init__(self, cluster: ClusterConfig, local: NodeId) -> None:
        self._local = local
        self._nodes: dict[NodeId, NodeConfig] = {}
        self._names: dict[str, _Name] = {}
        # Names of nodes that a new link came from: they may have moved.
        self._doubted: set[str] = set()
        self.on_members(cluster)

    def on_members(self, cluster: ClusterConfig) -> None:
        """Know these members from now on."""
        self._nodes = {NodeId(node.number): node for node in cluster.node}
        hosts = dict.fromkeys(node.address for node in cluster.node)
        names = [host for host in hosts if isinstance(parse_host(host), str)]
        self._names = {host: self._names.get(host) or _Name() for host in names}
        self._doubted &= self._names.keys()

    def on_link_up(self, node: NodeId) -> None:
        """A node has connected, perhaps from elsewhere: look its name up again."""
        config = self._nodes.get(node)
        if config is not None and config.address in self._names:
            self._doubted.add(config.address)

    def on_found(self, host: str, addresses: tuple[str, ...], *, now: float) -> bool:
        """Note an answer; return whether it is another one than before."""
        assert addresses
        name = self._names.get(host)
        if name is None:
            return False  # a member that is gone by now
        self._doubted.discard(host)
        is_news = bool(name.problem) or set(addresses) != set(name.addresses)
        name.addresses, name.problem, name.asked_at = addresses, "", now
        return is_news

    def on_not_found(self, host: str, reason: str, *, now: float) -> bool:
        """Note that there was none; return whether that was so before, for the same reason."""
        name = self._names.get(host)
        if name is None:
            return False
        self._doubted.discard(host)
        is_news = name.problem != reason
        name.problem, name.asked_at = reason, now
        return is_news

    def addresses(self, host: str) -> tuple[str, ...]:
        """Return what is known of a host; empty: nothing yet."""
        return self._names[host].addresses if host in self._names else (host,)

    def is_fresh(self, host: str, *, now: float) -> bool:
        """Whether that may be used for a new connection."""
        name = self._names.get(host)
        if name is None:
            return not isinstance(parse_host(host), str)
        return not name.problem and now < name.asked_at + FRESH_SECONDS

    def due(self, is_up: Callable[[NodeId], bool], *, now: float) -> list[str]:
        """Return the names to look up now; `is_up` says of another node whether it is heard."""
        settled: dict[str, bool] = {}
        for node, config in self._nodes.items():
            if config.address in self._names:
                is_settled = node == self._local or is_up(node)
                settled[config.address] = settled.get(config.address, True) and is_settled
        return [host for host, is_settled in settled.items() if self._is_due(host, now, is_settled)]

    def _is_due(self, host: str, now: float, is_settled: bool) -> bool:
        name = self._names[host]
        is_good = is_settled and not name.problem and host not in self._doubted
        return now >= name.asked_at + (SETTLED_SECONDS if is_good else FRESH_SECONDS)

    @property
    def has_names(self) -> bool:
        """Whether there is anything to look up."""
        return bool(self._names)

    def hosts(self) -> Mapping[NodeId, Address]:
        """Return where each member is, ourselves too, as cluster.toml names it."""
        return {node: (config.address, config.port) for node, config in self._nodes.items()}

    def node_names(self) -> Mapping[NodeId, str]:
        """Return what cluster.toml calls each member."""
        return {node: config.name for node, config in self._nodes.items()}

    def endpoints(self) -> dict[NodeId, tuple[Endpoint, ...]]:
        """Return all endpoints of the other members, as far as they are known."""
        return {
            node: tuple(
                normal_endpoint(each, config.port) for each in self.addresses(config.address)
            )
            for node, config in self._nodes.items()
            if node != self._local
        }

    def own(self) -> Address | None:
        """Return our own host and port; None: we are no member any more."""
        config = self._nodes.get(self._local)
        return None if config is None else (config.address, config.port)

    def rows(self) -> tuple[NameRow, ...]:
        """Return a snapshot of the names."""
        return tuple(
            NameRow(host=host, addresses=name.addresses, problem=name.problem)
            for host, name in self._names.items()
        )
