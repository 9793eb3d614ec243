"""Kills, one after the other, and the gap that each makes."""

import random
import signal
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.processes import processor_seconds
from tests.soak.kills.clients import KillsClient
from tests.soak.kills.kept_cluster import end_and_start, memory, wait_may_be_killed, wait_quiet
from tests.system.daemons import Cluster, Node

# By what they are to the disk: numbers of nodes.
KILLED: Final = {"owner": (1,), "holder": (2, 3), "both": (1, 2), "all": (1, 2, 3)}
PAUSE_SECONDS: Final = (0.0, 1.2)


@dataclass(frozen=True, slots=True)
class Kill:
    """What one was like."""

    nodes: tuple[str, ...]
    gap_seconds: float
    # Of the gap: what it would be on a machine that has nothing else to do.
    processor_seconds: float
    # From the signal until the daemon served.
    start_seconds: float
    adopted_pages: int
    attach_seconds: float

    def __str__(self) -> str:
        return (
            f"{' '.join(self.nodes):<6} gap {self.gap_seconds:5.2f} s"
            f" ({self.start_seconds:.2f} s to start, {self.processor_seconds:.2f} s of processor)"
            f"  {self.adopted_pages:7,} pages here again after {self.attach_seconds:.2f} s"
        )


def kill_often(
    cluster: Cluster,
    client: KillsClient,
    victims: str,
    kills: int,
    rng: random.Random,
    *,
    budgets_mebibytes: Sequence[int] = (),
    how: signal.Signals = signal.SIGKILL,
) -> list[Kill]:
    """Kill, start again, wait for an answer, over and over; print and return what each kill was like.

    Args:
        cluster: Whose first node owns the disk.
        client: Is at work all along.
        victims: See KILLED; holders take turns.
        kills: How many.
        rng: When.
        how: SIGTERM ends them in order.
        budgets_mebibytes: The owner's budget becomes one of these before each kill.
    """
    done: list[Kill] = []
    under_way: Counter[str] = Counter()
    for number in range(kills):
        nodes = _victims(cluster, victims, number)
        for node in nodes:
            wait_may_be_killed(node)
        if budgets_mebibytes:
            cluster[1].ask("memory-set", budget=f"{rng.choice(budgets_mebibytes)}MiB")
        time.sleep(rng.uniform(*PAUSE_SECONDS))
        client.check()
        under_way.update(_under_way(cluster[1]))
        done.append(_kill(client, nodes, how))
        print(f"kill {number + 1:3}  {done[-1]}", flush=True)
        if victims == "holder":
            # On a busy machine a start may take so long that the node is judged down: then what only it has answers EIO.
            wait_quiet(cluster)
    print(f"  right before the kills: {', '.join(f'{n} {what}' for what, n in under_way.items())}")
    return done


def _under_way(owner: Node) -> Counter[str]:
    """Return what the owner was at, and what it has done since it started."""
    engine = owner.engine()
    return Counter(
        {
            "pages on their way to peers": engine["remotify"]["pages_in_flight"],
            "budgets shrinking": engine["resize"]["state"] == "shrinking",
            "holders compared": engine["reconcile"]["reconciling_holders"],
            "pages remotified": engine["remotify"]["stored_pages_total"],
            "fetched": engine["fetch"]["fetched_pages_total"],
            "repatriated": engine["repatriate"]["repatriated_pages_total"],
            "compacted": engine["compacted_zpages_total"],
        }
    )


def _victims(cluster: Cluster, victims: str, number: int) -> list[Node]:
    numbers = KILLED[victims]
    if victims == "holder":
        return [cluster[numbers[number % len(numbers)]]]
    return [cluster[each] for each in numbers]


def _kill(client: KillsClient, nodes: Sequence[Node], how: signal.Signals) -> Kill:
    told_at, ended_at = end_and_start(nodes, how)
    gap_seconds = client.first_answer(ended_at) - told_at
    used_seconds = sum(processor_seconds(node.pid) for node in nodes)
    client.check()
    for node in nodes:
        node.wait_ready()
        found = memory(node)
        assert not found["given_up"], found
        assert not found["broken_pages"], found
    first = memory(nodes[0])
    served_at = time.perf_counter() - nodes[0].status()["uptime_seconds"]
    return Kill(
        tuple(node.name for node in nodes),
        gap_seconds,
        used_seconds,
        served_at - told_at,
        first["adopted_pages"],
        first["attach_seconds"],
    )
