"""Which checks there are of what is around a daemon, and in which order.  Pure.

Apart from `judge`, which an attach helper loads, too: its memory is locked.
"""

from collections.abc import Iterator

from ramsterd import __version__
from ramsterd.doctor import certificate_checks, cluster_checks, network_checks, unit_checks
from ramsterd.doctor.facts import Facts
from ramsterd.doctor.findings import Finding
from ramsterd.doctor.surroundings import Surroundings
from ramsterd.host.build import BUILD


def judge_around(facts: Facts, around: Surroundings) -> Iterator[Finding]:
    """Yield what every node needs of its network, its certificate and its units."""
    cluster = around.cluster
    yield from network_checks.check_ports(cluster)
    yield from network_checks.check_links(facts, cluster)
    yield from network_checks.check_heartbeats(cluster)
    yield network_checks.check_path_mtu(cluster)
    yield from cluster_checks.check_cluster(facts, cluster)
    yield certificate_checks.check_certificate(facts, around.certificate)
    yield from unit_checks.check_units(around.units)
    yield unit_checks.check_program(facts, version=__version__, build=BUILD)
