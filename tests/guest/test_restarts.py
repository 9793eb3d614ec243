"""A guest swaps while the owner of its swap is restarted and killed, with its memory kept.

Three times each.  `make test-guest RESTARTS=10 ARGS=tests/guest/test_restarts.py` says how often;
it prints what each restart cost.  As everywhere here, only the serial console is believed.
"""

import os
import random
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.guest.image import Image, make_image
from tests.guest.machine import HOST_ADDRESS, NETWORK, Guest, disk_of
from tests.guest.restarts import How, Restarts, plan_of
from tests.helpers.kept_folders import keep_in, kept_folder
from tests.system.conftest import new_cluster, sockets  # noqa: F401  fixtures
from tests.system.daemons import Cluster, free_ports

EACH = int(os.environ.get("RESTARTS") or 3)
PLAN = plan_of(EACH)
BUDGET_MEBIBYTES = 10
PAGES_OF_MEBIBYTE = 256
# The kernel and QEMU wait for so long; far longer than any restart.
RECONNECT_SECONDS_MAX = 300
# A round that has begun, and one more look at each page.
END_SECONDS_MAX = 300
IO_ERROR = r"I/O error|-error on swap-device|SIGBUS|hung_task|blocked for more than"

pytestmark = pytest.mark.timeout(600 + 60 * EACH)


@pytest.fixture
def port() -> int:
    (port,) = free_ports(1)
    return port


@pytest.fixture
def cluster(new_cluster: Callable[..., Cluster], port: int) -> Iterator[Cluster]:  # noqa: F811  the fixture
    cluster = new_cluster(
        budgets=[f"{BUDGET_MEBIBYTES}MiB", "96MiB", "96MiB"],
        export="256MiB",
        copies=1,
    )
    owner = cluster[1].config
    owner.write_text(owner.read_text().replace("[nbd]\n", f'[nbd]\nlisten = "127.0.0.1:{port}"\n'))
    with kept_folder() as folder:
        keep_in(owner, folder)
        cluster.start()
        yield cluster


@pytest.fixture
def boot(tmp_path: Path) -> Iterator[Callable[..., Guest]]:
    """Yield a function that boots a guest; it is ended after the test, and its console shown."""
    guests: list[Guest] = []

    def start(image: Image, words: str, devices: list[str], *, mebibytes: int) -> Guest:
        words = f"ramster.rounds=0 {words}"
        guests.append(Guest(image, tmp_path / "console", words, devices, mebibytes=mebibytes))
        return guests[-1]

    yield start
    for guest in guests:
        guest.end()
        sys.stdout.write(guest.said[-12000:])


def test_swap_on_the_kernels_nbd_outlives_restarts_and_kills_of_its_owner(
    cluster: Cluster, port: int, boot: Callable[..., Guest]
) -> None:
    mebibytes = 88
    words = f"ramster.mebibytes={mebibytes} ramster.server={HOST_ADDRESS}:{port} ramster.dead={RECONNECT_SECONDS_MAX}"
    guest = boot(make_image(has_ramsterctl=True), words, NETWORK, mebibytes=144)
    # Before that, nobody would connect again.
    guest.wait_said("nbd0: taken over")
    restarts = restart_under(cluster, guest, mebibytes=mebibytes)
    said = guest.said
    assert "guest: detach ended with 0" in said
    assert "guest: helper ended with 0" in said
    # Who stays connected has nothing to say: a program that is replaced hands its clients over.
    again = len(re.findall("nbd0: connected to .* again after", said))
    assert again == restarts.count(How.STOPPED) + restarts.count(How.KILLED)


def test_swap_on_virtio_outlives_restarts_and_kills_of_its_owner(
    cluster: Cluster, boot: Callable[..., Guest]
) -> None:
    mebibytes = 64
    words = f"ramster.mebibytes={mebibytes}"
    disk = disk_of(cluster[1], reconnect_seconds=RECONNECT_SECONDS_MAX)
    guest = boot(make_image(), words, disk, mebibytes=80)
    restart_under(cluster, guest, mebibytes=mebibytes)


def restart_under(cluster: Cluster, guest: Guest, *, mebibytes: int) -> Restarts:
    """Restart the owner as planned; the guest's program finds every page as it left it."""
    owner = cluster[1]
    restarts = Restarts(owner, random.Random(EACH))
    guest.wait_said("hog: filled")
    for how in PLAN:
        restarts.go(how)
    guest.tell("that will do")
    said = guest.wait_end(seconds_max=END_SECONDS_MAX)
    pages = mebibytes * PAGES_OF_MEBIBYTE
    rounds = said.count("hog: round is over")
    slowest = max(int(each) for each in re.findall(r"the slowest page took (\d+) ms", said))
    verified = pages * (2 + 2 * rounds)
    sys.stdout.write(
        f"{restarts.report()}{verified:,} pages verified; the slowest took {slowest} ms\n"
    )
    assert f"hog: {pages} pages, 0 wrong" in said
    assert "guest: hog ended with 0" in said
    assert "WRONG" not in said
    (swapped_in,) = re.findall(r"^pswpin (\d+)$", said, re.MULTILINE)
    assert int(swapped_in) > 2 * pages
    assert not re.search(IO_ERROR, said)
    for each in restarts.done:
        assert each.adopted_pages > 0
        assert each.broken_pages == 0
    now = owner.status()
    assert now["memory"]["attaches"] == len(PLAN)
    assert now["engine"]["store"]["lost_pages_total"] == 0
    assert now["engine"]["store"]["corrupt_pages_total"] == 0
    return restarts
