"""Heartbeat traffic of one node by the size of its cluster, in bytes of UDP payload a second.

    python -m benchmarks.heartbeat [--quick]

The real service under a virtual clock; the other members beat too, as datagrams that arrive.  Every node beats
at every other so far, so this grows with the cluster.  SWIM (a later issue) is to keep it level.
"""

import ipaddress
import random

import trio
import trio.testing

from benchmarks import harness
from benchmarks.harness import Options, at_most
from config.model import ClusterConfig, NodeConfig
from heartbeat.datagram import Beat, cluster_digest
from heartbeat.detector import TimeoutDetector
from heartbeat.door import Endpoint, normal_endpoint
from heartbeat.service import HeartbeatService
from nodemanager.ids import Incarnation, NodeId

VIRTUAL_SECONDS = 10.0
# The others are not in step: so many of these arrivals within one interval.
ARRIVALS = 10
LOCAL = NodeId(0)
SIZES = (8, 32, 128, 512)
FIRST_ADDRESS = int(ipaddress.ip_address("127.1.0.1"))
PORT = 7700


class CountingSocket:
    """A datagram socket that counts, and hands out what was put in."""

    def __init__(self) -> None:
        self.sent_bytes = 0
        self.received_bytes = 0
        self._arrived: list[tuple[bytes, Endpoint]] = []
        self._arrival = trio.Event()

    def arrive(self, datagram: bytes, source: Endpoint) -> None:
        """Let a datagram arrive."""
        self._arrived.append((datagram, source))
        self._arrival.set()

    def send_to(self, datagram: bytes, target: Endpoint) -> None:
        """Count what goes."""
        del target
        self.sent_bytes += len(datagram)

    def receive_from(self) -> tuple[bytes, Endpoint] | None:
        """Hand out the next, or None."""
        if not self._arrived:
            self._arrival = trio.Event()
            return None
        arrived = self._arrived.pop()
        self.received_bytes += len(arrived[0])
        return arrived

    async def wait_readable(self) -> None:
        """Wait for an arrival."""
        await self._arrival.wait()

    def close(self) -> None:
        """Nothing to close."""


async def beat(cluster: ClusterConfig, target: CountingSocket) -> None:
    """Be all other members: a tenth of them beats in each tenth of the interval."""
    digest = cluster_digest(cluster.name)
    others = cluster.node[1:]
    sequence = 0
    while True:
        sequence += 1
        for part in range(ARRIVALS):
            await trio.sleep(cluster.timers.heartbeat_seconds / ARRIVALS)
            for node in others[part::ARRIVALS]:
                datagram = Beat(
                    cluster=digest,
                    node=NodeId(node.number),
                    incarnation=Incarnation(1),
                    sequence=sequence,
                ).encode()
                target.arrive(datagram, normal_endpoint(node.address, node.port))


async def measure(size: int) -> tuple[float, float]:
    """Return the bytes a second that one node of a cluster of `size` sends, and those it receives."""
    cluster = ClusterConfig(
        name="bench",
        node=tuple(
            NodeConfig(
                number=number,
                name=f"n{number}",
                address=str(ipaddress.ip_address(FIRST_ADDRESS + number)),
                port=PORT,
            )
            for number in range(size)
        ),
    )
    others = [NodeId(number) for number in range(1, size)]
    counting = CountingSocket()
    service = HeartbeatService(
        cluster,
        LOCAL,
        Incarnation(1),
        detector=TimeoutDetector(others, cluster.timers, now=trio.current_time()),
        datagram_socket=counting,
        rng=random.Random(size),
        on_verdicts=lambda _: None,
    )
    with trio.move_on_after(VIRTUAL_SECONDS):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(service.run)
            nursery.start_soon(beat, cluster, counting)
    return counting.sent_bytes / VIRTUAL_SECONDS, counting.received_bytes / VIRTUAL_SECONDS


def run(options: Options) -> None:
    """Print a line for each size."""
    at_eight = None
    for size in SIZES[:2] if options.is_quick else SIZES:
        clock = trio.testing.MockClock(autojump_threshold=0)
        sent, received = trio.run(measure, size, clock=clock)
        if at_eight is None:
            at_eight = sent
        harness.print_figure(
            f"{size} nodes: sends {sent:,.0f} B/s, receives {received:,.0f} B/s; of 8 nodes'",
            sent / at_eight,
            "x",
            at_most(1),
        )
    print("  (without IP and UDP headers; the present detector beats at all, SWIM is to come)")


if __name__ == "__main__":
    harness.run_main({"heartbeat": run}, __doc__)
