"""A daemon that is killed again and again: only starts that never came to serve count against its memory."""

from ramsterd.kept.super_page import ATTEMPTS_MAX
from tests.helpers.kept_folders import keep_in, kept_folder
from tests.system.conftest import NewCluster
from tests.system.daemons import wait_until
from tests.system.fill import check_runs, fill_runs

RUNS = 8


def test_a_daemon_that_is_killed_often_keeps_its_pages_if_it_served_each_time(
    new_cluster: NewCluster,
) -> None:
    node = new_cluster(budgets=["16MiB"])[1]
    with kept_folder() as folder:
        keep_in(node.config, folder)
        node.start()
        node.wait_ready()
        runs = fill_runs(node, RUNS)
        for attaches in range(1, ATTEMPTS_MAX + 2):
            node.kill()
            node.start()
            node.wait_ready()
            memory = node.status()["memory"]
            assert (memory["given_up"], memory["attaches"]) == ("", attaches)
            wait_until(lambda: not node.status()["memory"]["attempts"], "the memory is vouched for")
        check_runs(node, runs)
