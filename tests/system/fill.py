"""An export that is full of pages which do not shrink, and the check that they are there."""

import random

from tests.system.arena import marked_page
from tests.system.daemons import Node, wait_until

RUN_BYTES = 64 * 4096


def fill_runs(node: Node, count: int) -> list[bytes]:
    """Write runs of 64 pages; return them."""
    runs = [random.Random(run).randbytes(RUN_BYTES) for run in range(count)]
    with node.client() as client:
        for place, run in enumerate(runs):
            client.write(place * RUN_BYTES, run)
    return runs


def check_runs(node: Node, runs: list[bytes]) -> None:
    with node.client() as client:
        for place, run in enumerate(runs):
            assert client.read(place * RUN_BYTES, RUN_BYTES) == run


def fill_marked(node: Node, count: int) -> None:
    """Write so many pages that say which ones they are, and wait until none is on its way to a peer."""
    with node.client() as client:
        client.write_stream(0, (marked_page(index) for index in range(count)))
    wait_until(lambda: not node.engine()["remotify"]["pages_in_flight"], "nothing is in flight")
