"""The first line of a daemon's log: which program runs as which node, where it listens, and with how much memory.  Pure."""

from config.endpoint import join_endpoint
from config.model import ClusterConfig, DaemonConfig, NodeConfig
from config.units import human_bytes


def start_line(
    version: str, loops: str, daemon: DaemonConfig, cluster: ClusterConfig, node: NodeConfig
) -> str:
    """Return it; `loops` says which inner loops run."""
    who = f"node {node.name} ({node.number}) of cluster {cluster.name}"
    parts = [
        f"ramsterd {version} starts as {who} with {len(cluster.node)} nodes",
        f"inner loops: {loops}",
        f"budget {human_bytes(daemon.memory.budget)}",
        *endpoints(daemon, node),
        f"exports: {', '.join(export.name for export in daemon.export) or 'none'}",
    ]
    return "; ".join(parts)


def endpoints(daemon: DaemonConfig, node: NodeConfig) -> list[str]:
    """Return what listens where; what is off is not named."""
    found = [
        ("links and heartbeat", join_endpoint(node.address, node.port)),
        ("NBD", daemon.nbd.socket),
        ("NBD", daemon.nbd.listen),
        ("tmem", daemon.tmem.socket),
        ("control", daemon.control.socket),
        ("metrics", daemon.metrics.listen),
    ]
    return [f"{name} at {where}" for name, where in found if where]
