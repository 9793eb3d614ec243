"""What is around a node among three where all is well; tests change one thing at a time."""

from dataclasses import replace
from typing import Any, Final

from ramsterd import __version__
from ramsterd.asking.self_report import SelfReport, Sight
from ramsterd.doctor.facts import Facts
from ramsterd.doctor.surroundings import (
    Certificate,
    Cluster,
    Peer,
    Port,
    Reach,
    Row,
    Surroundings,
    UnitFile,
    Units,
)
from ramsterd.host.build import BUILD
from tests.helpers.doctor_facts import FACTS, RUNNING

DAY: Final = 86_400.0
# The daemon that runs is what is installed.
CURRENT: Final = replace(FACTS, running=replace(RUNNING, version=__version__, build=BUILD))
OWN: Final = SelfReport(
    version=__version__,
    build=BUILD,
    clock_seconds=1.7e9,
    uptime_seconds=3600.0,
    membership_version=2,
    cluster_digest="d1",
    sees=None,
)
SIGHT: Final = Sight(state="up", is_linked=True, link_reason="", heartbeat_seconds=0.5)
ROW: Final = Row(state="up", is_linked=True, link="linked", link_reason="", heartbeat_seconds=0.5)


def peer(number: int, **changes: Any) -> Peer:
    """Return a peer of node1 that is well, but for some of what is known of it."""
    well = Peer(
        name=f"node{number}",
        address=f"192.0.2.{number}",
        port=7700,
        is_dialled=number < 1,
        reach=Reach.LINKED,
        path_mtu=1500,
        is_path_open=True,
        row=ROW,
        report=replace(OWN, sees=SIGHT),
        skew_seconds=0.01,
        uncertainty_seconds=0.01,
    )
    return replace(well, **changes)


def unlinked(number: int, reach: Reach, reason: str = "", **row: Any) -> Peer:
    """Return a peer without a link."""
    changed = {"is_linked": False, "link": "unreachable", "heartbeat_seconds": None, **row}
    return peer(
        number, reach=reach, reach_reason=reason, report=None, no_report="node has no link",
        row=replace(ROW, **changed),
    )  # fmt: skip


CLUSTER: Final = Cluster(
    node="node1",
    address="192.0.2.1",
    port=7700,
    is_running=True,
    own=OWN,
    ports=tuple(
        Port(key=key, protocol=protocol, address="192.0.2.1", port=port)
        for key, protocol, port in (
            ("address of [[node]]", "TCP", 7700),
            ("address of [[node]]", "UDP", 7700),
            ("[metrics] listen", "TCP", 9750),
        )
    ),
    peers=(peer(0), peer(2)),
)
# The same before the first start, when the others run already.
BEFORE_START: Final = replace(
    CLUSTER,
    is_running=False,
    own=None,
    peers=tuple(
        peer(number, reach=Reach.CONNECTED, row=None, report=None) for number in (0, 2)
    ),
)  # fmt: skip
UNIT: Final = UnitFile(
    name="ramsterd.service", path="/etc/systemd/system/ramsterd.service", is_shipped=True
)
AROUND: Final = Surroundings(
    cluster=CLUSTER,
    certificate=Certificate(is_used=True, seconds_left=300 * DAY),
    units=Units(files=(UNIT,)),
)


def before(facts: Facts = FACTS) -> Facts:
    """Return the same machine before the first start."""
    return replace(facts, running=None)
