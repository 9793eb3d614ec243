"""Clusters whose nodes know each other by certificate, and what their logs say."""

from config.model import TlsConfig
from tests.helpers.authority import Authority
from tests.system.daemons import Cluster, Node, wait_until


def use_tls(node: Node, tls: TlsConfig) -> None:
    with node.config.open("a") as config:
        config.write(
            f'[tls]\nca = "{tls.ca}"\ncertificate = "{tls.certificate}"\nkey = "{tls.key}"\n'
        )


def wait_for(node: Node, reason: str) -> None:
    wait_until(lambda: reason in node.log, f"{node.name} logs: {reason}", seconds_max=20)


def secure(cluster: Cluster, ours: Authority) -> None:
    for node in cluster:
        use_tls(node, ours.issue(node.name))
