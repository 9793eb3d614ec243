"""Small clusters for tests of membership and incarnation."""

from config.model import ClusterConfig, NodeConfig, TimersConfig


def cluster_of(
    nodes: int, *, timers: TimersConfig | None = None, insecure_plaintext: bool = False
) -> ClusterConfig:
    """Return nodes 0, 1, 2… on 127.0.0.1, ports 7700, 7701, 7702…"""
    return ClusterConfig(
        name="test",
        timers=timers or TimersConfig(),
        node=tuple(
            NodeConfig(number=n, name=f"node{n}", address="127.0.0.1", port=7700 + n)
            for n in range(nodes)
        ),
        insecure_plaintext=insecure_plaintext,
    )
