"""Look at the other nodes, from here and through the daemon that runs here.  A shell.

All are looked at beside each other, so many at once, and within one time for everything: what is
not known then is told as not tried.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import trio

from config.model import ClusterConfig, DaemonConfig, NodeConfig
from net.dialer import is_dialer
from nodemanager.changes import differences
from nodemanager.ids import NodeId
from ramsterd.asking.comparer import skew_of
from ramsterd.asking.self_report import (
    BadReport,
    SelfReport,
    cluster_digest,
    parse_answer,
    parse_report,
    request_of,
)
from ramsterd.doctor.local_daemon import NoAnswer, ask
from ramsterd.doctor.path_mtu import look_at_path
from ramsterd.doctor.ports import ports_of, try_ports
from ramsterd.doctor.reaching import connect, resolve
from ramsterd.doctor.surroundings import Cluster, Peer, Reach, Row
from ramsterd.host.certificate import wall_clock

# For all nodes together.
LOOK_SECONDS_MAX: Final = 20.0
# Connections that are under way.
PEERS_AT_ONCE_MAX: Final = 64
# Commands for other nodes: half of what a daemon passes on at once, so that operators have the rest.
ASKED_AT_ONCE_MAX: Final = 4


def look_at_cluster(
    daemon: DaemonConfig,
    cluster: ClusterConfig,
    *,
    control: Path | None,
    is_running: bool,
    may_have_ports: bool = False,
    clock: Callable[[], float] = wall_clock,
) -> Cluster:
    """Return this node among the others.

    Args:
        daemon: The file of the node.
        cluster: The cluster file.
        control: Where its daemon answers.
        is_running: Whether it does.
        may_have_ports: Whether a daemon seems to run that does not answer: then ports are not tried.
        clock: Seconds since 1970.
    """
    look = _Look(daemon, cluster, control if is_running else None, clock)
    return trio.run(look.run, not is_running and not may_have_ports)


class _Look:
    """One look at everything."""

    def __init__(
        self,
        daemon: DaemonConfig,
        cluster: ClusterConfig,
        control: Path | None,
        clock: Callable[[], float],
    ) -> None:
        self._daemon, self._cluster = daemon, cluster
        self._control, self._clock = control, clock
        self._node = next(node for node in cluster.node if node.name == daemon.node)
        self._limiter = trio.CapacityLimiter(PEERS_AT_ONCE_MAX)
        self._asking = trio.CapacityLimiter(ASKED_AT_ONCE_MAX)
        self._rows: dict[str, Row] = {}
        self._peers: dict[str, Peer] = {}

    async def run(self, tries_ports: bool) -> Cluster:
        others = [node for node in self._cluster.node if node.name != self._node.name]
        self._peers = {node.name: self._untried(node) for node in others}
        address, own, edited = self._node.address, None, ""
        with trio.move_on_after(LOOK_SECONDS_MAX):
            address = (await resolve(self._node))[0] or address
            own, edited = await self._ask_own_daemon()
            async with trio.open_nursery() as nursery:
                for node in others:
                    nursery.start_soon(self._look_at, node)
        ports = ports_of(self._daemon, self._node, address)
        return Cluster(
            node=self._node.name,
            address=address,
            port=self._node.port,
            is_running=self._control is not None,
            probe_seconds=self._cluster.timers.probe_seconds,
            own=own,
            edited=edited,
            ports=try_ports(ports) if tries_ports else tuple(ports),
            peers=tuple(self._peers.values()),
        )

    def _untried(self, node: NodeConfig) -> Peer:
        return Peer(
            name=node.name,
            address="",
            port=node.port,
            is_dialled=is_dialer(NodeId(self._node.number), NodeId(node.number)),
            reach=Reach.NOT_TRIED,
        )

    # What the daemon here says.

    async def _ask_own_daemon(self) -> tuple[SelfReport | None, str]:
        """Return what it says of itself, and how the members of its file differ from its own.

        One of an older version says less.
        """
        if self._control is None:
            return None, ""
        try:
            rows = await ask(self._control, {"command": "nodes"})
            own = parse_report(await ask(self._control, {**request_of(self._node.name)}))
            self._rows = {str(row["config"]["name"]): row_of(row) for row in rows}
            edited = "" if own.cluster_digest == cluster_digest(self._cluster) else self._edited(rows)  # fmt: skip
        except (NoAnswer, BadReport, KeyError, TypeError, ValueError):
            return None, ""
        return own, edited

    def _edited(self, rows: list[dict[str, Any]]) -> str:
        running = tuple(NodeConfig(**row["config"]) for row in rows)
        told = differences(replace(self._cluster, node=running), self._cluster)
        return told or "other settings than members"

    # What each other node says, and whether it can be reached.

    async def _look_at(self, node: NodeConfig) -> None:
        async with self._limiter:
            name, row = node.name, self._rows.get(node.name)
            address, why_not = await resolve(node)
            if not address:
                self._set(name, reach=Reach.NO_ADDRESS, reach_reason=why_not, row=row)
                return
            self._set(name, address=address, row=row)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._look_at_path, name, address)
                nursery.start_soon(self._reach, node, address)

    async def _look_at_path(self, name: str, address: str) -> None:
        path = await look_at_path(address)
        self._set(name, path_mtu=path.mtu, is_path_open=path.is_open)

    async def _reach(self, node: NodeConfig, address: str) -> None:
        row = self._rows.get(node.name)
        if row is None or not row.is_linked:
            reach, reason = await connect(address, node.port)
            self._set(node.name, reach=reach, reach_reason=reason)
            return
        self._set(node.name, reach=Reach.LINKED)
        async with self._asking:
            await self._ask(node.name)

    async def _ask(self, name: str) -> None:
        assert self._control is not None, "rows are of a daemon"
        asked_at = trio.current_time()
        passed_on: dict[str, object] = {"command": "ask", "node": name}
        passed_on["request"] = request_of(self._node.name)
        try:
            report = parse_answer(str((await ask(self._control, passed_on))["answer"]))
        except (NoAnswer, BadReport, KeyError, TypeError) as error:
            self._set(name, no_report=str(error))
            return
        skew, uncertainty = skew_of(
            report,
            asked_at=asked_at,
            answered_at=trio.current_time(),
            clock_seconds=self._clock(),
        )
        self._set(name, report=report, skew_seconds=skew, uncertainty_seconds=uncertainty)

    def _set(self, name: str, **found: Any) -> None:
        self._peers[name] = replace(self._peers[name], **found)


def row_of(plain: dict[str, Any]) -> Row:
    """Return a row of `ramsterctl nodes`.

    Raises:
        KeyError, TypeError, ValueError: It is none.
    """
    # One of a version that does not tell counts as silent, so it has to tell.
    silent = plain["heartbeat_seconds"]
    return Row(
        state=str(plain["state"]),
        is_linked=bool(plain["is_linked"]),
        link=str(plain["link"]),
        link_reason=str(plain["link_reason"]),
        heartbeat_seconds=None if silent is None else float(silent),
    )
