"""Any bytes after an NBD handshake are answered by compiled loops as Python's loops answer them, byte for byte."""

from typing import Final

from ramsterd import compiled
from tests.fuzz.target import Target, pieces
from tests.fuzz.targets import nbd_requests
from tests.fuzz.targets.nbd_requests import IS_READ_ONLY, IS_STRUCTURED
from tests.helpers.disk_nodes import DiskNode

# Of the seeds of requests, those that do not need a pager of tests.
SEEDS: Final = ("everyday", "simple", "read-only", "wrong", "magic", "endless")


def check(data: bytes) -> set[str]:
    """The first byte says how the rest is cut, the second is of bits, as for requests."""
    rule, bits = [*data[:2], 0, 0][:2]
    kinds = (True, False) if compiled.loops is not None else (False,)
    nodes = [
        DiskNode(
            is_compiled=kind,
            is_structured=bool(bits & IS_STRUCTURED),
            is_read_only=bool(bits & IS_READ_ONLY),
        )
        for kind in kinds
    ]
    for node in nodes:
        for piece in pieces(data[2:], rule):
            node.say(piece)
        node.store.check_invariants()
    assert all(node.seen() == nodes[0].seen() for node in nodes)
    found = nodes[0]
    outcomes = {"error"} if found.error else set[str]()
    outcomes |= {"read"} if found.store.counters.get_local else set()
    outcomes |= {"written"} if found.store.counters.put else set()
    return outcomes


TARGET = Target(
    check=check,
    seeds=lambda: {name: nbd_requests.seeds()[name] for name in SEEDS},
    outcomes=frozenset(["error", "read", "written"]),
    repair=nbd_requests.repair,
    bytes_max=nbd_requests.TARGET.bytes_max,
)
