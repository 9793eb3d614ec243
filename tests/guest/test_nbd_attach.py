"""A guest's own kernel swaps on its nbd, which `ramsterctl nbd attach` in the guest keeps attached: `make test-guest`.

The helper reaches the owner on the host over TCP, through a proxy that cuts the connection.  As everywhere here, only
the serial console is believed.
"""

import re
import time
from collections.abc import Iterator

import pytest

from ramsterd.doctor.proc_texts import IO_FLUSHER, flags_of
from tests.guest.link_proxy import LinkProxy
from tests.guest.machine import HOST_ADDRESS, Guest
from tests.guest.verdicts import assert_refused, assert_right
from tests.guest.ways import HOG_MEBIBYTES, KERNEL_NBD, Boot
from tests.system.conftest import NewCluster
from tests.system.daemons import Cluster, wait_until

CUT_SECONDS = 6.0

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]


@pytest.fixture
def cluster(new_cluster: NewCluster) -> Cluster:
    cluster = new_cluster(budgets=["6MiB", "64MiB", "64MiB"], export="128MiB", copies=1)
    cluster.start()
    return cluster


@pytest.fixture
def proxy(cluster: Cluster) -> Iterator[LinkProxy]:
    proxy = LinkProxy(cluster[1].nbd)
    yield proxy
    proxy.close()


def connected_again(guest: Guest) -> int:
    return guest.said.count("again after")


def test_a_kernel_swaps_on_through_cut_connections_and_every_page_is_right(
    cluster: Cluster, proxy: LinkProxy, boot: Boot
) -> None:
    guest = KERNEL_NBD.boot(
        boot, cluster[1], server=f"{HOST_ADDRESS}:{proxy.port}", rounds=1, helper=1
    )
    guest.wait_said("nbd0: taken over: it was attached before, to export swap0")
    for phase in ("hog: filled", "hog: verified", "hog: rewritten"):
        guest.wait_said(phase)
        proxy.cut()
        # Requests wait meanwhile; nothing else is to be waited for.
        time.sleep(CUT_SECONDS)
        # By now nothing can connect.  A slow guest may have cut a connection itself, whose answers were late.
        before = connected_again(guest)
        proxy.heal()
        wait_until(
            lambda before=before: connected_again(guest) > before,  # type: ignore[misc]  # can't infer
            "the helper connects again",
            seconds_max=60,
        )
    said = guest.wait_end()
    assert proxy.cuts_total >= 3
    assert "the connection to" in said
    assert "type `modprobe nbd`" in said
    assert_right(said, mebibytes=HOG_MEBIBYTES)
    assert "io_timeout 2000" in said
    # What the doctor takes for PR_SET_IO_FLUSHER is what this kernel shows of it.
    stat = re.search(r"guest: stat of the helper: (.*)", said)
    assert stat is not None
    assert flags_of(stat[1]) & IO_FLUSHER == IO_FLUSHER, hex(flags_of(stat[1]))
    assert "guest: helper killed, 137" in said
    assert "nbd0: it is used by swap on /dev/nbd0; turn swap off or unmount it first" in said
    assert "guest: detach under swap ended with 1" in said
    assert "guest: swap is off" in said
    assert "nbd0 is detached" in said
    assert "guest: detach ended with 0" in said
    assert "guest: helper ended with 0" in said
    assert cluster[1].engine()["store"]["lost_pages_total"] == 0


def test_an_export_that_is_lost_is_an_error_in_time_and_never_zeros(
    cluster: Cluster, proxy: LinkProxy, boot: Boot
) -> None:
    server = f"{HOST_ADDRESS}:{proxy.port}"
    guest = KERNEL_NBD.boot(boot, cluster[1], server=server, reconnect_seconds=8)
    guest.wait_said("hog: filled")
    cluster[1].kill()
    cluster[1].start()
    cluster[1].wait_ready()
    said = guest.wait_end()
    assert "the pages of export swap0 ended with the last run of ramsterd" in said
    assert "no connection for 8 s: its requests fail with I/O errors" in said
    assert_refused(said)
