"""A real kernel swaps to an export of a real cluster: `make test-guest`.

The guest runs under emulation (TCG) with less memory than its program uses; its disk is an export whose pages take
four times the node's budget, with two peers behind.  Only the serial console is believed: QEMU ends with 0 on a panic.
"""

import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.guest.image import Image, make_image
from tests.guest.machine import Guest, disk_of
from tests.system.conftest import new_cluster, sockets  # noqa: F401  fixtures
from tests.system.daemons import MIB, Cluster, Node

GUEST_MEBIBYTES = 96
HOG_MEBIBYTES = 160
BUDGET_MEBIBYTES = 10


@pytest.fixture(scope="session")
def image() -> Image:
    return make_image()


@pytest.fixture
def boot(image: Image, tmp_path: Path) -> Iterator[Callable[..., Guest]]:
    """Yield a function that boots a guest; it is ended after the test, and its console shown."""
    guests: list[Guest] = []

    def start(disk: Node | None, *, reconnect_seconds: int = 0) -> Guest:
        console = tmp_path / f"console{len(guests)}"
        words = f"ramster.mebibytes={HOG_MEBIBYTES} ramster.swap={0 if disk is None else 1}"
        devices = [] if disk is None else disk_of(disk, reconnect_seconds=reconnect_seconds)
        guests.append(Guest(image, console, words, devices, mebibytes=GUEST_MEBIBYTES))
        return guests[-1]

    yield start
    for guest in guests:
        guest.end()
        sys.stdout.write(guest.said[-4000:])


@pytest.fixture
def cluster(new_cluster: Callable[..., Cluster]) -> Cluster:  # noqa: F811  the fixture
    cluster = new_cluster(
        budgets=[f"{BUDGET_MEBIBYTES}MiB", "64MiB", "64MiB"], export="256MiB", copies=1
    )
    cluster.start()
    return cluster


def test_a_kernel_swaps_four_times_the_budget_and_every_page_is_right(
    cluster: Cluster, boot: Callable[[Node | None], Guest]
) -> None:
    started = time.perf_counter()
    guest = boot(cluster[1])
    guest.wait_said("hog: filled")
    engine = cluster[1].engine()
    here = sum(engine["store"]["zpage_bytes"].values())
    away = sum(peer_zpage_bytes(cluster[peer]) for peer in (2, 3))
    assert here + away >= 4 * BUDGET_MEBIBYTES * MIB
    said = guest.wait_end()
    assert "guest: swap is on" in said
    assert f"hog: {HOG_MEBIBYTES * 256} pages, 0 wrong" in said
    assert "guest: hog ended with 0" in said
    assert "WRONG" not in said
    engine = cluster[1].engine()
    for peer in (2, 3):
        (ours,) = cluster[peer].engine()["foreign"]
        assert ours["put_pages_total"] > 0
        assert ours["get_pages_total"] > 0
    assert engine["fetch"]["fetched_pages_total"] > 0
    assert engine["store"]["lost_pages_total"] == engine["store"]["corrupt_pages_total"] == 0
    assert engine["store"]["flushed_pages_total"] > 0, "the kernel discarded nothing"
    sys.stdout.write(f"guest: {time.perf_counter() - started:.0f} s\n")


def test_a_flipped_bit_is_an_error_and_never_a_wrong_page(
    cluster: Cluster, boot: Callable[[Node | None], Guest]
) -> None:
    """The control that must fail: bits of zpages are flipped in all memories while the guest runs."""
    guest = boot(cluster[1])
    guest.wait_said("hog: filled")
    for number in (1, 2, 3):
        flip_bits(cluster[number])
    said = guest.wait_end()
    assert "WRONG" not in said
    assert "guest: hog ended with 0" not in said
    assert re.search(r"Read-error on swap-device|I/O error, dev vda", said), said[-3000:]
    engine = cluster[1].engine()
    assert engine["store"]["corrupt_pages_total"] + engine["fetch"]["corrupt_pages_total"] > 0
    assert engine["store"]["lost_pages_total"] > 0


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_an_owner_that_starts_again_under_a_guest_gives_it_errors_and_no_zeros(
    cluster: Cluster, boot: Callable[..., Guest], how: signal.Signals
) -> None:
    """QEMU waits and connects again, and is refused each time; then the guest is told."""
    said = restart_under(cluster[1], boot, how)
    assert "WRONG" not in said
    assert "guest: hog ended with 0" not in said
    assert re.search(r"Read-error on swap-device|I/O error, dev vda", said), said[-3000:]
    (export,) = cluster[1].status()["exports"]
    assert (export["state"], export["pages"]) == ("lost", 0)


def test_without_a_state_file_the_guest_reads_zeros(
    cluster: Cluster, boot: Callable[..., Guest]
) -> None:
    """The control that shows what it is for: the program is told by its pages, or the kernel dies of its own."""
    node = cluster[1]
    node.stop()
    node.config.write_text(node.config.read_text().replace('"n1-state"', '""'))
    node.start()
    node.wait_ready()
    said = restart_under(node, boot, signal.SIGKILL)
    assert "WRONG" in said or "guest: hog ended with" not in said, said[-3000:]
    assert not re.search(r"Read-error on swap-device|I/O error, dev vda", said)


def restart_under(node: Node, boot: Callable[..., Guest], how: signal.Signals) -> str:
    """Start an owner again while a guest swaps on it; return what the guest says to its end."""
    guest = boot(node, reconnect_seconds=10)
    guest.wait_said("hog: filled")
    if how is signal.SIGKILL:
        node.kill()
    else:
        node.stop()
    node.start()
    node.wait_ready()
    return guest.wait_end()


def test_without_swap_the_same_program_does_not_fit(boot: Callable[[Node | None], Guest]) -> None:
    """The control that shows that swap was needed."""
    said = boot(None).wait_end()
    assert "hog: filled" not in said
    assert "Out of memory: Killed process" in said, said[-2000:]


def peer_zpage_bytes(node: Node) -> int:
    return int(node.engine()["foreign_zpage_bytes"])


def flip_bits(node: Node) -> None:
    """Flip one bit in the first zpage of every block of a daemon's arena."""
    assert node.process is not None
    folder = Path(f"/proc/{node.process.pid}/fd")
    # Two descriptors of the same memory: ours and the mapping's.
    arena = next(each for each in folder.iterdir() if "memfd:ramster-arena" in os.readlink(each))
    flipped = 0
    with arena.open("r+b") as memory:
        end = memory.seek(0, os.SEEK_END)
        place = 0
        while place < end:
            try:
                place = os.lseek(memory.fileno(), place, os.SEEK_DATA)
            except OSError:  # no more data
                break
            memory.seek(place + 20)
            byte = memory.read(1)
            memory.seek(place + 20)
            memory.write(bytes([byte[0] ^ 1]))
            memory.flush()
            flipped += 1
            place = (place // 65536 + 1) * 65536
    assert flipped > 10
