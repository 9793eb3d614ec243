"""Two hosts made of network namespaces for benchmarks: joined by a cable, or by a line that delays."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from benchmarks.processes import MIB, Node

ADDRESSES = ("10.99.0.1", "10.99.0.2")
DEVICE = "bench"
BUDGET_BYTES_MIN = 2 * MIB


def ip(*words: str) -> None:
    """Run ip(8) or raise."""
    subprocess.run(["ip", *words], check=True)


def inside(name: str) -> tuple[str, ...]:
    """Return what to put before a command."""
    return ("ip", "netns", "exec", name)


@contextmanager
def two_namespaces() -> Iterator[tuple[str, str]]:
    """Make two; remove them at the end, and with them the devices inside."""
    names = (f"ramster-{os.getpid()}-1", f"ramster-{os.getpid()}-2")
    try:
        for name in names:
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], check=False, stderr=subprocess.DEVNULL)


@contextmanager
def cabled() -> Iterator[tuple[str, str]]:
    """Make two with a veth pair between them."""
    with two_namespaces() as names:
        ip(
            "link", "add", DEVICE, "netns", names[0],
            "type", "veth", "peer", DEVICE, "netns", names[1],
        )  # fmt: skip
        for name, address in zip(names, ADDRESSES, strict=True):
            set_up(name, address)
        yield names


def set_up(name: str, address: str) -> None:
    """Give the device in a namespace its address."""
    ip("-n", name, "address", "add", f"{address}/24", "dev", DEVICE)
    ip("-n", name, "link", "set", DEVICE, "up")


def owner_and_holder(names: Sequence[str], size: int, *, is_tls: bool = False) -> list[Node]:
    """Return a node in each: the first with an export whose pages have no room but at the second."""
    one, other = names
    return [
        Node(
            1,
            BUDGET_BYTES_MIN,
            size,
            address=ADDRESSES[0],
            prefix=inside(one),
            is_tls=is_tls,
        ),
        Node(2, 2 * size, address=ADDRESSES[1], prefix=inside(other), is_tls=is_tls),
    ]
