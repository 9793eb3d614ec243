"""Datagrams of the failure detector without tasks: sockets in memory, over the same paths as the links."""

import heapq
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from heartbeat.routes import Endpoint
from nodemanager.ids import NodeId
from tests.simulation.paths import Paths

# What a socket buffer keeps for a process that does not read; more is lost.
ARRIVED_MAX: Final = 256
# When it arrives, a number that keeps the order, what, and from where.
Arrival: TypeAlias = tuple[float, int, bytes, Endpoint]


@dataclass(slots=True, eq=False)
class SimSocket:
    """The socket of one incarnation of a node: a `heartbeat.udp.DatagramSocket`."""

    number: NodeId
    endpoint: Endpoint
    network: "Datagrams"
    arriving: list[Arrival] = field(default_factory=list)

    def send_to(self, datagram: bytes, target: Endpoint) -> None:
        self.network.send(self, datagram, target)

    async def wait_readable(self) -> None:
        raise NotImplementedError

    def receive_from(self) -> tuple[bytes, Endpoint] | None:
        if self.next_arrival() > self.network.now():
            return None
        _, _, datagram, source = heapq.heappop(self.arriving)
        return datagram, source

    def next_arrival(self) -> float:
        return self.arriving[0][0] if self.arriving else math.inf

    def listen_at(self, addresses: Sequence[str], port: int) -> None:
        self.network.move(self, (addresses[0], port))

    def close(self) -> None:
        self.network.release(self)


class Datagrams:
    """All sockets; datagrams may be lost and overtake each other."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._sockets: dict[Endpoint, SimSocket] = {}
        self._order = itertools.count()

    def now(self) -> float:
        return self._paths.time.now()

    def bind(self, number: NodeId, endpoint: Endpoint) -> SimSocket:
        """Return the socket of a new incarnation; what was on its way to an earlier one is gone."""
        self._sockets[endpoint] = SimSocket(number, endpoint, self)
        return self._sockets[endpoint]

    def move(self, socket: SimSocket, endpoint: Endpoint) -> None:
        """What is on its way to the old endpoint, and not there yet, still arrives."""
        self.release(socket)
        socket.endpoint = endpoint
        self._sockets[endpoint] = socket

    def release(self, socket: SimSocket) -> None:
        if self._sockets.get(socket.endpoint) is socket:
            del self._sockets[socket.endpoint]

    def send(self, source: SimSocket, datagram: bytes, target: Endpoint) -> None:
        receiver = self._sockets.get(target)
        if receiver is None or self._paths.loses(source.number, receiver.number):
            return
        if len(receiver.arriving) < ARRIVED_MAX:
            arrives_at = self.now() + self._paths.seconds(source.number, receiver.number)
            arrival = arrives_at, next(self._order), datagram, source.endpoint
            heapq.heappush(receiver.arriving, arrival)
