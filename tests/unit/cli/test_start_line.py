from pathlib import Path

from config.load import load_node
from ramsterd.cli.start_line import start_line
from tests.helpers.config_texts import CLUSTER, DAEMON, write


def test_the_first_line_names_node_memory_and_every_endpoint(tmp_path: Path) -> None:
    write(tmp_path, "cluster.toml", CLUSTER)
    more = (
        '[nbd]\nsocket = "/run/n"\n[tmem]\nsocket = "/run/t"\n[metrics]\nlisten = "127.0.0.1:9"\n'
    )
    daemon, cluster, node = load_node(write(tmp_path, "ramsterd.toml", DAEMON + more))
    assert start_line("0.1.0", "compiled", daemon, cluster, node) == (
        "ramsterd 0.1.0 starts as node alpha (1) of cluster lab with 2 nodes; inner loops: compiled; budget 8 MiB;"
        " links and heartbeat at 127.0.0.1:7701; NBD at /run/n; tmem at /run/t; metrics at 127.0.0.1:9;"
        " exports: swap0, disk1"
    )
