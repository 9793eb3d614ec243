"""The command `self-report`: what this node says of itself, and of the node that asks."""

from collections.abc import Callable

from config.model import ClusterConfig
from nodemanager.ids import NodeId
from ramsterd import __version__
from ramsterd.asking.self_report import SelfReport, Sight, cluster_digest
from ramsterd.host.build import BUILD
from ramsterd.host.certificate import wall_clock
from ramsterd.observe.snapshot import to_plain
from ramsterd.pagepath.peers import Peers


class SelfReporter:
    """Answers the command; all peers ask once a minute, so the digest of the members is kept."""

    def __init__(
        self,
        peers: Peers,
        uptime: Callable[[], float],
        *,
        wall_clock: Callable[[], float] = wall_clock,
    ) -> None:
        self._peers = peers
        self._uptime, self._wall_clock = uptime, wall_clock
        self._digested: tuple[ClusterConfig | None, str] = (None, "")

    def ask(self, request: dict[str, object]) -> object:
        """Return the report; `for` names the node that asks."""
        cluster = self._peers.members.cluster
        return to_plain(
            SelfReport(
                version=__version__,
                build=BUILD,
                clock_seconds=self._wall_clock(),
                uptime_seconds=self._uptime(),
                membership_version=cluster.membership_version,
                cluster_digest=self._digest(cluster),
                sees=self._sight(request.get("for"), cluster),
            )
        )

    def _digest(self, cluster: ClusterConfig) -> str:
        if self._digested[0] is not cluster:
            self._digested = cluster, cluster_digest(cluster)
        return self._digested[1]

    def _sight(self, name: object, cluster: ClusterConfig) -> Sight | None:
        """Return how this node sees the one that asks; None: it knows none of this name."""
        number = next((NodeId(each.number) for each in cluster.node if each.name == name), None)
        row = None if number is None else self._peers.row(number)
        if number is None or row is None:
            return None
        heartbeat = self._peers.heartbeat
        return Sight(
            state=row.state.value,
            is_linked=row.is_linked,
            link_reason=row.link_reason,
            heartbeat_seconds=None if heartbeat is None else heartbeat.heartbeat_seconds(number),
        )
