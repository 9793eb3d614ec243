"""An owner that ends and starts again, over and over, while a guest swaps on it; what each cost."""

import enum
import random
import signal
import time
from dataclasses import dataclass, field
from itertools import cycle, islice

from tests.system.daemons import Node, wait_until
from tests.system.hosts import ramsterctl

# The owner ends at some moment of this, after its client is there again: pages are on their way.
MOMENT_SECONDS_MAX = 3.0
# QEMU dials again after 1, 2, 4... seconds.
CLIENT_SECONDS_MAX = 60.0
VOUCH_SECONDS_MAX = 90.0


class How(enum.Enum):
    """How it ends."""

    REPLACED = "ramsterctl restart"
    STOPPED = "SIGTERM, start"
    KILLED = "SIGKILL, start"


@dataclass(frozen=True, slots=True)
class Restart:
    """What one of them cost; seconds are from its beginning on.

    `answer_seconds`: to the next program's first answer.  `client_seconds`: to its client.
    """

    how: How
    answer_seconds: float
    client_seconds: float
    attach_seconds: float
    adopted_pages: int
    broken_pages: int


def plan_of(each: int) -> list[How]:
    """Return so many restarts in order, both kinds in turn, with a kill behind each."""
    in_order = islice(cycle((How.REPLACED, How.STOPPED)), each)
    return [how for one in in_order for how in (one, How.KILLED)]


def restart(node: Node, how: How) -> None:
    """End a daemon and start it again; return once it answers."""
    match how:
        case How.REPLACED:
            ramsterctl("--socket", str(node.control), "restart")
            return
        case How.STOPPED:
            node.send_signal(signal.SIGTERM)
            assert node.wait_end() == 0, node.log
        case How.KILLED:
            node.kill()
    node.start()
    node.wait_ready()


@dataclass(slots=True)
class Restarts:
    """Does them at some moments."""

    node: Node
    rng: random.Random
    done: list[Restart] = field(default_factory=list)

    def count(self, how: How) -> int:
        return sum(each.how is how for each in self.done)

    def go(self, how: How) -> None:
        """Restart once, and wait for the client."""
        # A memory with which no start comes to serve is given up: that is not what is tried here.
        wait_until(
            lambda: not self.node.status()["memory"]["attempts"],
            "the memory is vouched for",
            seconds_max=VOUCH_SECONDS_MAX,
        )
        time.sleep(self.rng.uniform(0, MOMENT_SECONDS_MAX))
        began_at = time.perf_counter()
        restart(self.node, how)
        answered_at = time.perf_counter()
        wait_until(
            lambda: self.node.status()["nbd"]["connections"],
            "its client is there again",
            seconds_max=CLIENT_SECONDS_MAX,
        )
        connected_at = time.perf_counter()
        memory = self.node.status()["memory"]
        self.done.append(
            Restart(
                how,
                answer_seconds=answered_at - began_at,
                client_seconds=connected_at - began_at,
                attach_seconds=memory["attach_seconds"],
                adopted_pages=memory["adopted_pages"],
                broken_pages=memory["broken_pages"],
            )
        )

    def report(self) -> str:
        """Return a table."""
        lines = ["how                 answer s  client s  attach s     pages  broken"]
        lines += [
            f"{each.how.value:20}{each.answer_seconds:8.2f}{each.client_seconds:10.2f}"
            f"{each.attach_seconds:10.3f}{each.adopted_pages:10,}{each.broken_pages:8}"
            for each in self.done
        ]
        return "\n".join(lines) + "\n"
