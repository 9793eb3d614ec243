"""The daemon: composition root and task tree, on one screen.

services     links, heartbeat, clock          stop last
  front ends   NBD, tmem, control, metrics    stop before peers can't be asked

Front ends are opened before links are: a start that fails, for a port that is taken, has met no
peer by then.  Else peers would give it pages, which end with it.
"""

import logging
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

import trio

from config.event_kinds import EventKind, about
from config.model import ClusterConfig, DaemonConfig, NodeConfig
from net.certificates import Credentials
from nodemanager.ids import NodeId
from ramsterd.admin.bench import Bench
from ramsterd.admin.commands import nodes, overview, set_budget, version
from ramsterd.admin.control import new_control
from ramsterd.admin.health_commands import health_commands
from ramsterd.admin.job_commands import job_commands
from ramsterd.admin.log_commands import log_commands
from ramsterd.admin.node_commands import membership, node_commands
from ramsterd.admin.self_report_command import SelfReporter
from ramsterd.admin.socket import Command
from ramsterd.admin.state_commands import state_commands
from ramsterd.asking.comparing import Comparing
from ramsterd.endpoints.bind_errors import keys_of_endpoints
from ramsterd.endpoints.descriptors import NO_LIMIT, Descriptors
from ramsterd.endpoints.opening import start
from ramsterd.handover.arrival import Arrival
from ramsterd.host.certificate import wall_clock
from ramsterd.host.collector import calm_collector
from ramsterd.host.daemon_protection import NO_PROTECTION, Protection
from ramsterd.host.logs.log import Log
from ramsterd.host.loop_clock import watch_pauses, world_time
from ramsterd.host.poller import Poller
from ramsterd.host.sd_notify import Notifier
from ramsterd.host.signals import release_hangup
from ramsterd.host.threads import run_in_thread
from ramsterd.host.watchdog import Watchdog
from ramsterd.observe.daemon_news import DaemonNews
from ramsterd.observe.daemon_statistics import StatisticsSources
from ramsterd.observe.health_watch import HealthWatch
from ramsterd.observe.job_watch import JobWatch
from ramsterd.observe.loop_watch import LoopWatch
from ramsterd.observe.metrics_port import new_metrics_server
from ramsterd.observe.observers import Observer, Observers
from ramsterd.observe.shared_snapshot import SharedSnapshot
from ramsterd.observe.snapshot import DaemonStatistics, to_plain
from ramsterd.pagepath.warming import keep_warm
from ramsterd.parts import (
    new_certificate,
    new_disk_watch,
    new_engine,
    new_handover,
    new_pager,
    new_peers,
    new_restarter,
    new_servers,
    new_store,
)
from ramsterd.reconfigure.apply import RunningParts, use_keys
from ramsterd.reconfigure.export_commands import ExportChanges
from ramsterd.reconfigure.exports import Exports
from ramsterd.reconfigure.node_files import NodeFiles
from ramsterd.reconfigure.reload import Reloader
from ramsterd.restart.departure import Departure, Leaving
from ramsterd.restart.emptied import Emptied
from ramsterd.restart.ending import Ending
from ramsterd.restart.node_memory import NodeMemory
from ramsterd.restart.orders import Orders, follow_signals
from ramsterd.restart.stopping import stop
from ramsterd.statefile.keeper import StateKeeper

logger = logging.getLogger("ramster.daemon")


class Daemon:
    """Everything that one node runs."""

    def __init__(
        self,
        daemon: DaemonConfig,
        cluster: ClusterConfig,
        node: NodeConfig,
        *,
        memory: NodeMemory,
        rng: random.Random,
        environ: Mapping[str, str],
        log: Log,
        credentials: Credentials | None = None,
        heartbeat_key: bytes | None = None,
        files: NodeFiles,
        state: StateKeeper,
        clock_milliseconds: Callable[[], int],
        descriptors: Descriptors = NO_LIMIT,
        arrival: Arrival | None = None,
        check_start: Callable[[Sequence[tuple[str, int]]], Awaitable[str]],
        protection: Protection = NO_PROTECTION,
    ) -> None:
        self._protection = protection
        self._descriptors = descriptors
        self._notifier = Notifier(environ)
        self._handover = new_handover(memory, arrival, environ, self._notifier)
        self._cluster = cluster
        self._node = node
        self._log = log
        self._observers = Observers()
        self._look = SharedSnapshot(
            self.statistics,
            signs=lambda: self._sources.signs_of_change(),  # noqa: PLW0108  made below
            is_settled=self._is_settled,
        )
        self._news = DaemonNews(log, self.statistics, look=self._look)
        self._health = HealthWatch(self.statistics, look=self._look)
        self.engine = new_engine(daemon, cluster, node, memory, rng)
        self._memory = memory
        memory.take_up(state.marks, self.engine)
        self._stop = trio.Event()
        self._orders = Orders(node.name, self._handover, memory, self._stop)
        self._ending = Ending(node.name, self.engine, self._count_clients)
        self._restarter = new_restarter(
            lambda: check_start(self._peers.mesh.places()), self._orders.restart
        )
        self._certificate = new_certificate(credentials)
        self._store = new_store(
            daemon.cluster,
            on_written=lambda problem: self._peers.members.on_written(problem),  # noqa: PLW0108  made below
        )
        self._peers = new_peers(
            self.engine, cluster, self._certificate, self._store, state,
            rng=rng, heartbeat_key=heartbeat_key, clock_milliseconds=clock_milliseconds,
        )  # fmt: skip
        self._disk = new_disk_watch(daemon.cluster, self._peers)
        self._jobs = JobWatch(
            self.statistics, self._peers.members.inquiries.ask_drained, look=self._look
        )
        self._reporter = SelfReporter(self._peers, self._uptime)
        self._comparing = Comparing(self._peers.asking, node.name)
        self._pager = new_pager(daemon, self.engine, self._peers)
        self._state = state
        self._state.on_answered = self._pager.settle
        self._exports = Exports(self._pager, state.marks, daemon.export, memory.follow)
        self._poller = Poller(daemon.poll_microseconds_max)
        self._nbd, self._tmem = new_servers(
            daemon, self._pager, self._exports, state, memory,
            descriptors=descriptors, arrival=self._handover.arrival,
            lingering_at=self._poller.lingering_at,
        )  # fmt: skip
        self._export_snapshots = partial(self._exports.snapshots, self.engine.store)
        self._emptied = Emptied(self._exports, self._nbd, self._tmem)
        self._reloader = self._new_reloader(daemon, files)
        self._export_changes = ExportChanges(
            self._reloader.order, self._exports, self._export_snapshots, run=log.events.run
        )
        self._bench = Bench(self.engine, self._pager, rng=rng, local=node.name)
        self._control = new_control(
            daemon.control.socket, self._commands(), self._peers, self._handover.arrival
        )
        self._metrics = new_metrics_server(daemon.metrics.listen, self.statistics, wall_clock)
        self._peers.members.inquiries.count_clients = self._count_clients
        self._loop_watch = LoopWatch(
            self.engine.store.work, lingered_seconds=self._poller.lingered_seconds
        )
        self._watchdog = Watchdog(self._notifier, environ)
        self._started_at = 0.0
        self._sources = self._statistics_sources()

    def _statistics_sources(self) -> StatisticsSources:
        return StatisticsSources(
            node=self._node,
            cluster=self._cluster.name,
            uptime=self._uptime,
            wall_clock=wall_clock,
            handover=self._handover,
            memory=self._memory,
            protection=self._protection,
            config=self._reloader,
            known_export_changes=lambda: self._export_changes.known,
            engine=self.engine,
            peers=self._peers,
            pager=self._pager,
            nbd=self._nbd,
            tmem=self._tmem,
            exports=self._export_snapshots,
            state_file=self._state.marks,
            log=self._log,
            certificate=self._certificate,
            comparing=self._comparing,
            observers=self._observers,
            descriptors=self._descriptors,
            loop=self._loop_watch,
            poller=self._poller,
            control=self._control,
            metrics=self._metrics,
        )

    def _new_reloader(self, daemon: DaemonConfig, files: NodeFiles) -> Reloader:
        return Reloader(
            daemon,
            files=files,
            parts=RunningParts(
                log=self._log,
                exports=self._exports,
                engine=self.engine,
                peers=self._peers,
                nbd=self._nbd,
                tmem=self._tmem,
            ),
            renew=partial(use_keys, certificate=self._certificate, peers=self._peers),
            wall_clock=wall_clock,
        )

    async def run(self) -> Departure | None:
        """Serve until SIGTERM, SIGINT or `restart`, then stop in order, within `stop_seconds_max`.

        Returns what is to be given to the next process; None: clients end with this one.

        Raises:
            CannotServe: (in an exception group) A socket or an address can't be had, or another
                daemon has it.
        """
        departure: Departure | None = None
        self._started_at = world_time()
        calm_collector()
        async with trio.open_nursery() as services:
            services.start_soon(self._loop_watch.run)
            services.start_soon(follow_signals, self._node.name, self._stop.set, self._reloader.ask)
            self._take_up_state()
            await self._start(services, self._state.run, "with this state_dir")
            self._memory.resume(self.engine)
            offload = partial(run_in_thread, abandon_on_cancel=True)
            services.start_soon(keep_warm, self.engine.store.reserve, offload)
            for observer, observe in self._observing().items():
                services.start_soon(self._observers.run, observer, observe)
            services.start_soon(watch_pauses, self._watchdog.on_pause)
            # Rounds of the loop are measured by now, so they end before it polls.
            services.start_soon(self._poller.run)
            for worker in (self._store, self._reloader, self._restarter, self._bench):
                services.start_soon(worker.run)
            if self._certificate is None and self._cluster.insecure_plaintext:
                logger.warning(
                    "links are plaintext: anyone on the network can read and change pages; set [tls]"
                )
            async with trio.open_nursery() as front_ends:
                await self._start_front_ends(front_ends)
                await self._start(services, self._peers.serve, "links and heartbeat")
                services.start_soon(self._observers.run, Observer.COMPARING, self._comparing.run)
                front_ends.start_soon(self._emptied.run)
                # Fed to the very end: a stop may take longer than the manager's timeout.
                services.start_soon(self._watchdog.run)
                self._notifier.ready()
                logger.info(
                    "node %s is ready", self._node.name, extra=about(EventKind.DAEMON_STARTED)
                )
                release_hangup()
                self._handover.finish_arrival()
                services.start_soon(self._memory.vouch, self.engine.is_scrubbing)
                await self._stop.wait()
                services.cancel_scope.deadline = trio.current_time() + self._stop_seconds_max
                departure = await self._depart()
                # Front ends stop first: no get may find its peers gone.
                front_ends.cancel_scope.cancel()
            self._emptied.clear()
            self._observers.attempt(Observer.NEWS, self._news.tell_last)
            if departure is None and not self._memory.outlives_process:
                self._ending.say_what_is_lost()
                await self._peers.say_farewell()
            services.cancel_scope.cancel()
        if trio.current_time() >= services.cancel_scope.deadline:
            logger.warning(
                "the stop took longer than %g s (stop_seconds_max): unfinished requests are cut off",
                self._stop_seconds_max,
            )
        if departure is not None and departure.is_replacing:
            self._watchdog.on_replacing()
        self._notifier.close()
        logger.info("node %s has stopped; it ran for %.0f s", self._node.name, self._uptime())
        return departure

    def _observing(self) -> dict[Observer, Callable[[], Awaitable[None]]]:
        """Return what looks and tells from the start, and is no part of the page path."""
        observing: dict[Observer, Callable[[], Awaitable[None]]] = {
            Observer.NEWS: self._news.run,
            Observer.HEALTH: self._health.run,
            Observer.JOBS: self._jobs.run,
            Observer.DISK: self._disk.run,
        }
        if self._certificate is not None:
            observing[Observer.CERTIFICATE] = self._certificate.watch
        return observing

    async def _start_front_ends(self, front_ends: trio.Nursery) -> None:
        await self._start(front_ends, self._nbd.serve, "NBD")
        await self._start(front_ends, self._tmem.serve, "tmem")
        if self._control is not None:
            await self._start(front_ends, self._control.serve, "control")
        if self._metrics is not None:
            await self._start(front_ends, self._metrics.serve, "metrics")

    async def _start(
        self, nursery: trio.Nursery, serve: Callable[..., Awaitable[object]], what: str
    ) -> None:
        keys = keys_of_endpoints(self._reloader.running, self._node)
        await start(nursery, serve, what, keys)

    @property
    def _stop_seconds_max(self) -> float:
        return self._reloader.running.stop_seconds_max

    async def _depart(self) -> Departure | None:
        everybody = (self._nbd, self._tmem, self._control)
        front_ends: list[Leaving] = [each for each in everybody if each is not None]
        seconds_max = self._stop_seconds_max / 2
        departure = await self._handover.depart(front_ends, seconds_max=seconds_max)
        if departure is None and not self._memory.outlives_process:
            self._ending.say_what_ends()
        return departure

    def _take_up_state(self) -> None:
        """Name each loss of this start, and blank the scratch disks.

        The first write of the file notes it all.
        """
        marks = self._state.marks
        marks.note_incarnation(self.engine.incarnation)
        self._exports.blank_scratch()
        self._exports.say_losses()

    def _count_clients(self) -> int:
        return self._nbd.statistics().connections + self._tmem.statistics().connections

    def _commands(self) -> dict[str, Command]:
        return {
            "status": lambda _: to_plain(self.statistics(), self._names()),
            **health_commands(self._health),
            "nodes": partial(nodes, self.engine, self._peers),
            "memory-set": partial(set_budget, self.engine, self._peers),
            "config": lambda _: to_plain(self._reloader.statistics()),
            "config-reload": lambda _: {"reload": self._reloader.ask()},
            "restart": self._restarter.ask,
            "stop": partial(stop, self._handover, self._ending, self._orders.stop),
            "membership": partial(membership, self._peers.members, self._store),
            **node_commands(self._peers.members),
            **job_commands(self._jobs, self.engine, self._peers),
            **state_commands(self._state.marks, self._exports),
            **self._export_changes.commands(),
            **log_commands(self._log),
            **self._bench.commands(),
            "overview": partial(overview, self.statistics),
            "pools": lambda _: to_plain(self._tmem.count_pools()),
            "version": lambda _: version(self._node.name),
            "self-report": self._reporter.ask,
        }

    def _uptime(self) -> float:
        return world_time() - self._started_at

    def _names(self) -> dict[NodeId, str]:
        return {NodeId(node.number): node.name for node in self._peers.members.cluster.node}

    def _is_settled(self, now: DaemonStatistics) -> bool:
        is_waited = bool(now.pager.unreachable_waits)
        return self._health.health.is_settled and self._jobs.table.is_at_rest and not is_waited

    def statistics(self) -> DaemonStatistics:
        """Return one consistent snapshot of everything, and what follows from it."""
        return self._health.judged(self._jobs.seen(self._sources.snapshot()))
