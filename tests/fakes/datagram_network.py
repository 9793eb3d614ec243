"""A datagram network in memory: `DatagramSocket` for tests, which may cut and lose; and who reads verdicts."""

import random
from collections import deque
from collections.abc import Sequence

import trio

from heartbeat.routes import Endpoint
from nodemanager.ids import Incarnation
from nodemanager.states import NodeState, Verdict


class SimDatagramNetwork:
    """Delivers at once and in order, unless a path is cut or a datagram is lost by the toss of `rng`."""

    def __init__(self, *, rng: random.Random, loss_fraction: float = 0.0) -> None:
        self._rng = rng
        self._loss_fraction = loss_fraction
        self._sockets: dict[Endpoint, SimDatagramSocket] = {}
        self._cut: set[Endpoint] = set()
        self.unreachable: set[Endpoint] = set()

    def bind(self, endpoint: Endpoint) -> "SimDatagramSocket":
        assert endpoint not in self._sockets
        self._sockets[endpoint] = SimDatagramSocket(self, endpoint)
        return self._sockets[endpoint]

    def cut(self, endpoint: Endpoint) -> None:
        """Lose all that this endpoint sends or should receive."""
        self._cut.add(endpoint)

    def heal(self, endpoint: Endpoint) -> None:
        self._cut.discard(endpoint)

    def deliver(self, datagram: bytes, source: Endpoint, target: Endpoint) -> None:
        if target in self.unreachable:
            raise OSError("network is unreachable")
        receiver = self._sockets.get(target)
        is_lost = bool({source, target} & self._cut) or self._rng.random() < self._loss_fraction
        if receiver is not None and not is_lost:
            receiver.accept(datagram, source)

    def move(self, socket: "SimDatagramSocket", endpoint: Endpoint) -> None:
        assert endpoint not in self._sockets
        del self._sockets[socket.endpoint]
        self._sockets[endpoint] = socket

    def release(self, endpoint: Endpoint) -> None:
        self._sockets.pop(endpoint, None)


class SimDatagramSocket:
    """One bound endpoint of a simulated network."""

    def __init__(self, network: SimDatagramNetwork, endpoint: Endpoint) -> None:
        self._network = network
        self.endpoint = endpoint
        self._arrived: deque[tuple[bytes, Endpoint] | OSError] = deque()
        self._arrival = trio.Event()
        self._is_closed = False

    def accept(self, datagram: bytes, source: Endpoint) -> None:
        self._arrived.append((datagram, source))
        self._arrival.set()

    def report(self, error: OSError) -> None:
        """Have the next receive raise `error`, as ICMP does."""
        self._arrived.append(error)
        self._arrival.set()

    def send_to(self, datagram: bytes, target: Endpoint) -> None:
        self._network.deliver(datagram, self.endpoint, target)

    async def wait_readable(self) -> None:
        await self._arrival.wait()
        if self._is_closed:
            raise trio.ClosedResourceError

    def receive_from(self) -> tuple[bytes, Endpoint] | None:
        if not self._arrived:
            self._arrival = trio.Event()
            return None
        arrived = self._arrived.popleft()
        if isinstance(arrived, OSError):
            raise arrived
        return arrived

    def listen_at(self, addresses: Sequence[str], port: int) -> None:
        """Be at the first of some addresses: it has one only."""
        if (endpoint := (addresses[0], port)) != self.endpoint:
            self._network.move(self, endpoint)
            self.endpoint = endpoint

    def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._network.release(self.endpoint)
            self._arrival.set()


class Verdicts:
    """Keeps what a service reports, and waits for more."""

    def __init__(self) -> None:
        self.all: list[Verdict] = []
        self._news = trio.Event()

    def __call__(self, verdicts: list[Verdict]) -> None:
        assert verdicts
        self.all += verdicts
        self._news.set()

    def of(self, node: int) -> list[NodeState]:
        return [verdict.state for verdict in self.all if verdict.node == node]

    async def wait_last(
        self, node: int, state: NodeState, incarnation: Incarnation | None = None
    ) -> None:
        """Wait until the last word on `node` is `state` (in the given incarnation)."""
        while True:
            last = next((v for v in reversed(self.all) if v.node == node), None)
            if last and last.state is state and incarnation in {None, last.incarnation}:
                return
            self._news = trio.Event()
            await self._news.wait()
