"""A few kills under fio and libnbd; `make kills` is the long version, of each kind of client and of victims."""

import random
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.helpers.kept_folders import kept_folder
from tests.helpers.requirements import require_libnbd, require_tool
from tests.soak.kills.clients import LibnbdClient, QemuClient
from tests.soak.kills.kept_cluster import (
    as_delivered,
    check_agrees,
    keep_memory,
    serve_programs,
    tmem_socket,
    wait_quiet,
)
from tests.soak.kills.killing import KILLED, kill_often
from tests.soak.kills.pools import PoolsClient
from tests.system.conftest import NewCluster
from tests.system.daemons import MIB, Cluster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

BUDGET_MEBIBYTES = 4
DISK_BYTES = 4 * BUDGET_MEBIBYTES * MIB
# Twice, as the second finds what the first start has made of the memory.
KILLS = 2
# A node of each kind, and then several in the same moment.
KILLS_OF = {"owner": 1, "holder": 1, "both": 1, "all": 1}


def start(new_cluster: NewCluster, memories: Path) -> Cluster:
    cluster = new_cluster(
        budgets=[f"{BUDGET_MEBIBYTES}MiB", "48MiB", "48MiB"],
        export=str(DISK_BYTES),
        copies=2,
    )
    keep_memory(cluster, memories)
    as_delivered(cluster)
    cluster.start()
    return cluster


def test_the_owner_is_killed_under_fio_by_way_of_qemu(
    new_cluster: NewCluster, sockets: Path
) -> None:
    require_tool("fio", "qemu-nbd")
    with kept_folder() as memories:
        cluster = start(new_cluster, memories)
        with ExitStack() as stack:
            client = QemuClient(cluster[1], sockets, DISK_BYTES, stack)
            kill_often(cluster, client, "owner", KILLS, random.Random(1))
            client.finish()
        wait_quiet(cluster)
        check_agrees(cluster)


def test_nodes_are_killed_under_requests_of_libnbd(new_cluster: NewCluster) -> None:
    """What they are to the disk: its owner, a holder, or several at once."""
    require_libnbd()
    assert KILLS_OF.keys() == KILLED.keys()
    budgets, rng = (BUDGET_MEBIBYTES // 2, BUDGET_MEBIBYTES), random.Random(1)
    with kept_folder() as memories:
        cluster = start(new_cluster, memories)
        with ExitStack() as stack:
            client = LibnbdClient(cluster[1], DISK_BYTES, 1, stack)
            for victims, kills in KILLS_OF.items():
                kill_often(cluster, client, victims, kills, rng, budgets_mebibytes=budgets)
                wait_quiet(cluster)
            client.finish()
        wait_quiet(cluster)
        check_agrees(cluster)


def test_the_owner_is_killed_under_programs_with_pools(new_cluster: NewCluster) -> None:
    with kept_folder() as memories:
        cluster = new_cluster(
            budgets=[f"{BUDGET_MEBIBYTES}MiB", "48MiB", "48MiB"], export=str(DISK_BYTES), copies=2
        )
        keep_memory(cluster, memories)
        as_delivered(cluster)
        serve_programs(cluster[1])
        cluster.start()
        with ExitStack() as stack:
            client = PoolsClient(tmem_socket(cluster[1]), 1, stack)
            kill_often(cluster, client, "owner", KILLS, random.Random(1))
            client.finish()
        wait_quiet(cluster)
        pools = cluster[1].ask("pools")
        assert {each["name"] for each in pools} == {"persistent", "ephemeral"}, pools
        check_agrees(cluster)
