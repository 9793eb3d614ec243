"""The snapshot of the daemon, put together from what each of its parts says."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from config.model import NodeConfig
from ramsterd import __version__, compiled
from ramsterd.asking.comparing import Comparing
from ramsterd.endpoints.descriptors import Descriptors, statistics_of
from ramsterd.endpoints.statistics import EndpointStatistics, MetricsStatistics
from ramsterd.frontends.clients.counters import ClientStatistics
from ramsterd.frontends.pager import PagerStatistics
from ramsterd.frontends.tmem.counters import TmemStatistics
from ramsterd.handover.arrival import HandoverStatistics
from ramsterd.host.build import BUILD
from ramsterd.host.certificate import CertificateKeeper
from ramsterd.host.daemon_protection import ProtectionStatistics
from ramsterd.host.logs.log import Log
from ramsterd.host.loop_clock import pause_statistics
from ramsterd.host.poller import PollStatistics
from ramsterd.kept.memory import MemoryStatistics
from ramsterd.observe.loop_watch import LoopStatistics
from ramsterd.observe.observers import ObserverStatistics
from ramsterd.observe.snapshot import ConfigStatistics, DaemonStatistics, ExportSnapshot
from ramsterd.pagepath.engine import Engine
from ramsterd.pagepath.peers import Peers
from ramsterd.statefile.marks import MarksStatistics

StatisticsT_co = TypeVar("StatisticsT_co", covariant=True)


class Source(Protocol[StatisticsT_co]):
    """A part of the daemon that has statistics."""

    def statistics(self) -> StatisticsT_co:
        """Return a snapshot."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StatisticsSources:
    """The parts of the daemon that its snapshot shows."""

    node: NodeConfig
    cluster: str
    uptime: Callable[[], float]
    wall_clock: Callable[[], float]
    handover: Source[HandoverStatistics]
    memory: Source[MemoryStatistics]
    protection: Source[ProtectionStatistics]
    config: Source[ConfigStatistics]
    # Of how many commands on exports the outcome can be asked for.
    known_export_changes: Callable[[], int]
    engine: Engine
    peers: Peers
    pager: Source[PagerStatistics]
    nbd: Source[ClientStatistics]
    tmem: Source[TmemStatistics]
    exports: Callable[[], tuple[ExportSnapshot, ...]]
    state_file: Source[MarksStatistics]
    log: Log
    # None without TLS.
    certificate: CertificateKeeper | None
    comparing: Comparing
    observers: Source[ObserverStatistics]
    descriptors: Descriptors
    loop: Source[LoopStatistics]
    poller: Source[PollStatistics]
    # None where there is no such endpoint.
    control: Source[EndpointStatistics] | None
    metrics: Source[MetricsStatistics] | None

    def signs_of_change(self) -> tuple[object, ...]:
        """Return what is not as before when something has happened that a snapshot shows.  Cheap.

        Nothing is stored, sent, dropped or looked through without work, and whatever an operator
        should know of is an event.
        """
        engine, heartbeat = self.engine, self.peers.heartbeat
        return (
            engine.store.work.total(),
            engine.store.zbud.budget_bytes,
            tuple(map(engine.nodes.status, engine.nodes.nodes())),
            self.peers.members.cluster.node,
            set(self.peers.mesh.links),
            heartbeat is not None and heartbeat.is_starved,
            self.log.events.statistics().events_total,
            pause_statistics(),
        )

    def snapshot(self) -> DaemonStatistics:
        """Return one consistent snapshot of all of them, without what follows from it."""
        peers, heartbeat, certificate = self.peers, self.peers.heartbeat, self.certificate
        return DaemonStatistics(
            node=self.node.name,
            number=self.node.number,
            incarnation=self.engine.incarnation,
            cluster=self.cluster,
            version=__version__,
            build=BUILD,
            is_compiled=compiled.loops is not None,
            uptime_seconds=self.uptime(),
            clock_seconds=self.wall_clock(),
            incarnation_floors=peers.own_incarnation.statistics(),
            pauses=pause_statistics(),
            handover=self.handover.statistics(),
            memory=self.memory.statistics(),
            protection=self.protection.statistics(),
            config=self.config.statistics(),
            known_export_changes=self.known_export_changes(),
            membership=peers.members.statistics(),
            engine=self.engine.statistics(),
            pager=self.pager.statistics(),
            nbd=self.nbd.statistics(),
            tmem=self.tmem.statistics(),
            exports=self.exports(),
            state_file=self.state_file.statistics(),
            heartbeat=None if heartbeat is None else heartbeat.statistics(),
            listener=peers.mesh.listener_statistics(),
            addresses=peers.addresses.statistics(),
            log=self.log.statistics(),
            changed_log_levels=self.log.changed_levels(),
            events=self.log.events.statistics(),
            certificate_expiry_seconds=(
                None if certificate is None else certificate.seconds_left()
            ),
            links={node: link.statistics() for node, link in peers.mesh.links.items()},
            asking=peers.asking.statistics(),
            observers=self.observers.statistics(),
            peer_reports=self.comparing.reports(),
            descriptors=statistics_of(self.descriptors),
            loop_stall=self.loop.statistics(),
            polling=self.poller.statistics(),
            control=None if self.control is None else self.control.statistics(),
            metrics=None if self.metrics is None else self.metrics.statistics(),
        )
