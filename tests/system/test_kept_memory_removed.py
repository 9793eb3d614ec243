"""Kept memory that was removed: its pages are lost, and said to be, and never read as zeros."""

import signal
import subprocess

import pytest

from ramsterd.client.nbd import HandshakeFailed
from tests.helpers.kept_folders import keep_in, kept_folder
from tests.helpers.programs import RAMSTERCTL, environment, run_program
from tests.system.conftest import NewCluster
from tests.system.daemons import EXPORT, MIB, Node, wait_until
from tests.system.fill import RUN_BYTES, check_runs, fill_runs

# Twice the budget of the owner: the rest is at the peer.
RUNS = 8 * MIB // RUN_BYTES
ENDS = [signal.SIGTERM, signal.SIGKILL]


@pytest.mark.parametrize("how", ENDS)
def test_a_disk_whose_memory_was_removed_is_refused_until_it_is_reset_and_blank_then(
    new_cluster: NewCluster, how: signal.Signals
) -> None:
    cluster = new_cluster(budgets=["4MiB", "64MiB"])
    owner, holder = cluster[1], cluster[2]
    with kept_folder() as folder:
        keep_in(owner.config, folder)
        cluster.start()
        runs = fill_runs(owner, RUNS)
        start_again(owner, how)
        check_runs(owner, runs)
        assert holder.foreign_pages() > 0

        end(owner, how)
        for file in folder.iterdir():
            file.unlink()
        owner.start()
        owner.wait_ready()
        assert export_of(owner) == ("lost", 0)
        with pytest.raises(HandshakeFailed) as refused:
            owner.client()
        text = "the pages of export swap0 ended with the last run of ramsterd"
        assert f"{text}; `ramsterctl export reset swap0` makes it blank" in str(refused.value)
        wait_until(lambda: not holder.foreign_pages(), "the peer drops what nobody owns any more")

        done = reset(owner)
        assert (done.returncode, done.stdout) == (0, "export swap0 is blank\n")
        assert export_of(owner) == ("blank", 0)
        check_runs(owner, [bytes(RUN_BYTES)] * RUNS)
        # From here on its pages are kept as before.
        runs = fill_runs(owner, 1)
        start_again(owner, how)
        check_runs(owner, runs + [bytes(RUN_BYTES)] * (RUNS - 1))


def start_again(node: Node, how: signal.Signals) -> None:
    end(node, how)
    node.start()
    node.wait_ready()


def end(node: Node, how: signal.Signals) -> None:
    if how is signal.SIGKILL:
        node.kill()
    else:
        node.stop()


def export_of(node: Node) -> tuple[str, int]:
    (export,) = node.status()["exports"]
    return export["state"], export["pages"]


def reset(node: Node) -> subprocess.CompletedProcess[str]:
    command = [*RAMSTERCTL, "--socket", str(node.control), "export", "reset", EXPORT]
    return run_program(
        command, capture_output=True, check=False, env=environment(), text=True, timeout=30
    )
