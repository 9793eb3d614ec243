"""A guest swaps while the owner of its swap is restarted and killed, with its memory kept.

Three times each.  `make test-guest ALL=1 RESTARTS=10 ARGS=tests/guest/test_restarts.py` says how often;
it prints what each restart cost.  As everywhere here, only the serial console is believed.
"""

import os
import random
import re
from collections.abc import Callable, Iterator

import pytest

from tests.guest.machine import HOST_ADDRESS, Guest
from tests.guest.restarts import How, Restarts, plan_of
from tests.guest.stalls import stalls, worst
from tests.guest.verdicts import PAGES_OF_MEBIBYTE, assert_right
from tests.guest.ways import HOG_MEBIBYTES, KERNEL_NBD, VIRTIO, Boot
from tests.helpers.kept_folders import keep_in, kept_folder
from tests.plugins.shown import show
from tests.system.conftest import NewCluster
from tests.system.daemons import Cluster, free_ports

EACH = int(os.environ.get("RESTARTS") or 3)
PLAN = plan_of(EACH)
BUDGET_MEBIBYTES = 6
# A round that has begun, and one more look at each page.
END_SECONDS_MAX = 300

pytestmark = [pytest.mark.long, pytest.mark.timeout(600 + 60 * EACH)]


@pytest.fixture
def port() -> int:
    (port,) = free_ports(1)
    return port


@pytest.fixture
def shown(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    return lambda text: show(record_property, text)


@pytest.fixture
def cluster(new_cluster: NewCluster, port: int) -> Iterator[Cluster]:
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


def test_swap_on_the_kernels_nbd_outlives_restarts_and_kills_of_its_owner(
    cluster: Cluster, port: int, boot: Boot, shown: Callable[[str], None]
) -> None:
    guest = KERNEL_NBD.boot(boot, cluster[1], server=f"{HOST_ADDRESS}:{port}", helper=1)
    # Before that, nobody would connect again.
    guest.wait_said("nbd0: taken over")
    restarts = restart_under(cluster, guest, shown)
    said = guest.said
    assert "guest: detach ended with 0" in said
    assert "guest: helper ended with 0" in said
    # Who stays connected has nothing to say: a program that is replaced hands its clients over.
    again = len(re.findall("nbd0: connected to .* again after", said))
    assert again == restarts.count(How.STOPPED) + restarts.count(How.KILLED)


def test_swap_on_virtio_outlives_restarts_and_kills_of_its_owner(
    cluster: Cluster, boot: Boot, shown: Callable[[str], None]
) -> None:
    restart_under(cluster, VIRTIO.boot(boot, cluster[1]), shown)


def restart_under(cluster: Cluster, guest: Guest, shown: Callable[[str], None]) -> Restarts:
    """Restart the owner as planned; the guest's program finds every page as it left it."""
    owner = cluster[1]
    restarts = Restarts(owner, random.Random(EACH))
    guest.wait_said("hog: filled")
    for how in PLAN:
        restarts.go(how)
    guest.tell("that will do")
    said = guest.wait_end(seconds_max=END_SECONDS_MAX)
    rounds = said.count("hog: round is over")
    slowest = worst(stalls(said)).milliseconds
    verified = HOG_MEBIBYTES * PAGES_OF_MEBIBYTE * (1 + 2 * rounds)
    shown(f"{restarts.report()}{verified:,} pages verified; the slowest took {slowest} ms")
    assert_right(said, mebibytes=HOG_MEBIBYTES)
    for each in restarts.done:
        assert each.adopted_pages > 0
        assert each.broken_pages == 0
    now = owner.status()
    assert now["memory"]["attaches"] == len(PLAN)
    assert now["engine"]["store"]["lost_pages_total"] == 0
    assert now["engine"]["store"]["corrupt_pages_total"] == 0
    return restarts
