"""A real kernel swaps to an export of a real cluster, and the controls that must fail: `make test-guest`.

The guest runs under emulation (TCG) with less memory than its program uses; its disk is an export whose pages take
four times the node's budget, with two peers behind.  Only the serial console is believed: QEMU ends with 0 on a panic.
"""

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.guest.verdicts import assert_refused, assert_right
from tests.guest.ways import VIRTIO, Boot
from tests.helpers.kept_folders import keep_in, kept_folder
from tests.system.conftest import NewCluster
from tests.system.daemons import MIB, Cluster, Node

BUDGET_MEBIBYTES = 4
# Without ballast.
LARGE_HOG_MEBIBYTES = 72

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def cluster(new_cluster: NewCluster) -> Cluster:
    cluster = new_cluster(
        budgets=[f"{BUDGET_MEBIBYTES}MiB", "64MiB", "64MiB"], export="128MiB", copies=1
    )
    cluster.start()
    return cluster


def test_a_kernel_swaps_four_times_the_budget_and_every_page_is_right(
    cluster: Cluster, boot: Boot
) -> None:
    mebibytes = LARGE_HOG_MEBIBYTES
    guest = VIRTIO.boot(boot, cluster[1], rounds=1, mebibytes=mebibytes, ballast=0)
    guest.wait_said("hog: filled")
    engine = cluster[1].engine()
    here = sum(engine["store"]["zpage_bytes"].values())
    away = sum(peer_zpage_bytes(cluster[peer]) for peer in (2, 3))
    assert here + away >= 4 * BUDGET_MEBIBYTES * MIB
    said = guest.wait_end()
    assert_right(said, mebibytes=mebibytes)
    engine = cluster[1].engine()
    for peer in (2, 3):
        (ours,) = cluster[peer].engine()["foreign"]
        assert ours["put_pages_total"] > 0
        assert ours["get_pages_total"] > 0
    assert engine["fetch"]["fetched_pages_total"] > 0
    assert engine["store"]["lost_pages_total"] == engine["store"]["corrupt_pages_total"] == 0
    assert engine["store"]["flushed_pages_total"] > 0, "the kernel discarded nothing"


def test_a_flipped_bit_is_an_error_and_never_a_wrong_page(cluster: Cluster, boot: Boot) -> None:
    """The control that must fail: bits of zpages are flipped in all memories while the guest runs."""
    guest = VIRTIO.boot(boot, cluster[1])
    guest.wait_said("hog: filled")
    for number in (1, 2, 3):
        flip_bits(cluster[number])
    assert_refused(guest.wait_end())
    engine = cluster[1].engine()
    assert engine["store"]["corrupt_pages_total"] + engine["fetch"]["corrupt_pages_total"] > 0
    assert engine["store"]["lost_pages_total"] > 0


@pytest.mark.parametrize(
    "how", [pytest.param(signal.SIGTERM, marks=pytest.mark.long), signal.SIGKILL]
)
def test_an_owner_that_starts_again_under_a_guest_gives_it_errors_and_no_zeros(
    cluster: Cluster, boot: Boot, how: signal.Signals
) -> None:
    """QEMU waits and connects again, and is refused each time; then the guest is told."""
    assert_refused(restart_under(cluster[1], boot, how))
    assert_lost(cluster[1])


def test_kept_memory_that_was_removed_is_an_error_and_never_zeros(
    cluster: Cluster, boot: Boot
) -> None:
    """The control of the tests that restart an owner with its memory kept."""
    owner = cluster[1]
    owner.stop()
    with kept_folder() as folder:
        keep_in(owner.config, folder)
        owner.start()
        owner.wait_ready()
        cluster.wait_linked()
        said = restart_under(owner, boot, signal.SIGKILL, meanwhile=lambda: remove_all(folder))
        assert_refused(said)
        assert_lost(owner)
        owner.stop()


def remove_all(folder: Path) -> None:
    files = list(folder.iterdir())
    assert files
    for file in files:
        file.unlink()


def assert_lost(owner: Node) -> None:
    (export,) = owner.status()["exports"]
    assert (export["state"], export["pages"]) == ("lost", 0)


@pytest.mark.long
def test_without_a_state_file_the_guest_reads_zeros(cluster: Cluster, boot: Boot) -> None:
    """The control that shows what it is for: the program is told by its pages, or the kernel dies of its own."""
    node = cluster[1]
    node.stop()
    node.config.write_text(node.config.read_text().replace('"n1-state"', '""'))
    node.start()
    node.wait_ready()
    said = restart_under(node, boot, signal.SIGKILL)
    assert "WRONG" in said or "guest: hog ended with" not in said, said[-3000:]
    assert not re.search(r"Read-error on swap-device|I/O error, dev vda", said)


def restart_under(
    node: Node, boot: Boot, how: signal.Signals, meanwhile: Callable[[], None] = lambda: None
) -> str:
    """Start an owner again while a guest swaps on it; return what the guest says to its end."""
    guest = VIRTIO.boot(boot, node, rounds=1, reconnect_seconds=10)
    guest.wait_said("hog: filled")
    if how is signal.SIGKILL:
        node.kill()
    else:
        node.stop()
    meanwhile()
    node.start()
    node.wait_ready()
    return guest.wait_end()


def test_without_swap_the_same_program_does_not_fit(boot: Boot) -> None:
    """The control that shows that swap was needed."""
    said = VIRTIO.boot(boot, None).wait_end()
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
