"""A holder with kept memory is restarted: it has its pages again, and nothing is copied."""

import signal

import pytest

from tests.helpers.kept_folders import keep_in, kept_folder
from tests.system.conftest import NewCluster
from tests.system.daemons import Node, wait_until
from tests.system.fill import RUN_BYTES, check_runs, fill_runs

RUNS = 48


def is_settled(owner: Node) -> bool:
    engine = owner.engine()
    return not (
        engine["remotify"]["pages_in_flight"]
        or engine["flushes_owed"]
        or engine["rebuild"]["pages_at_risk"]
        or engine["reconcile"]["reconciling_holders"]
    )


def bytes_with(owner: Node, peer: int) -> int:
    link = owner.status()["links"][f"n{peer}"]
    return int(link["bytes_sent_total"] + link["bytes_received_total"])


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_holder_that_is_restarted_with_its_memory_is_sent_nothing_again(
    new_cluster: NewCluster, how: signal.Signals
) -> None:
    cluster = new_cluster(budgets=["4MiB", "24MiB", "24MiB"], copies=2)
    owner, holder = cluster[1], cluster[2]
    with kept_folder() as folder:
        for node in cluster:
            keep_in(node.config, folder / node.name)
        cluster.start()
        runs = fill_runs(owner, RUNS)
        wait_until(lambda: is_settled(owner), "each page has two copies")
        held, with_other = owner.pages_at(2), bytes_with(owner, 3)
        assert held * 4096 > RUNS * RUN_BYTES / 2
        if how is signal.SIGTERM:
            holder.stop()
        else:
            holder.kill()
        holder.start()
        holder.wait_ready()
        cluster.wait_linked()
        wait_until(lambda: is_settled(owner), "the two agree again")
        assert (owner.pages_at(2), holder.foreign_pages()) == (held, held)
        assert owner.engine()["rebuild"]["rebuilt_pages_total"] == 0
        carried = bytes_with(owner, 2) + bytes_with(owner, 3) - with_other
        assert carried < RUN_BYTES, "less than a hundredth of what the holder has"
        # The other copies are gone with their node: what is read now comes from the one that was restarted.
        cluster[3].kill()
        check_runs(owner, runs)
