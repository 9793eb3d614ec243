"""What a daemon is made of, as far as making it takes more than its parts: each from config and what was made before."""

import random
import secrets
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path

from config.load import load_cluster
from config.model import ClusterConfig, DaemonConfig, NodeConfig
from config.save import check_room, check_writable, save_members
from net.certificates import Credentials
from net.tcp import TcpTransport
from net.tls import TlsTransport
from nodemanager.ids import NodeId
from nodemanager.membership import FileMembership
from ramsterd.endpoints.descriptors import Descriptors
from ramsterd.frontends.clients.exchange import LingeringAt
from ramsterd.frontends.nbd.server import NbdServer
from ramsterd.frontends.pager import Pager
from ramsterd.frontends.servers import new_nbd_server, new_tmem_server
from ramsterd.frontends.tmem.server import TmemServer
from ramsterd.handover.arrival import Arrival
from ramsterd.host.certificate import CertificateKeeper
from ramsterd.host.loop_clock import monotonic_nanoseconds
from ramsterd.host.sd_notify import Notifier
from ramsterd.membership.background_store import BackgroundStore
from ramsterd.membership.disk_watch import DiskWatch
from ramsterd.pagepath.engine import Engine
from ramsterd.pagepath.peers import Peers
from ramsterd.reconfigure.exports import Exports
from ramsterd.restart.handover import Handover
from ramsterd.restart.node_memory import NodeMemory
from ramsterd.restart.restarter import Restarter
from ramsterd.statefile.keeper import StateKeeper


def new_handover(
    memory: NodeMemory, arrival: Arrival | None, environ: Mapping[str, str], notifier: Notifier
) -> Handover:
    """Return what hands clients to the next process, and has taken over those of the last."""
    return Handover(
        memory,
        arrival or Arrival(),
        environ=environ,
        notifier=notifier,
        nanoseconds=monotonic_nanoseconds,
    )


def new_engine(
    daemon: DaemonConfig,
    cluster: ClusterConfig,
    node: NodeConfig,
    memory: NodeMemory,
    rng: random.Random,
) -> Engine:
    """Return the engine over the pages that this node has."""
    return Engine(
        daemon=daemon,
        cluster=cluster,
        local=NodeId(node.number),
        incarnation=memory.incarnation,
        kept=memory.pages,
        rng=rng,
    )


def new_restarter(check: Callable[[], Awaitable[str]], restart: Callable[[str], None]) -> Restarter:
    """Return what restarts the daemon when it is asked to."""
    return Restarter(check=check, new_id=partial(secrets.token_hex, 8), restart=restart)


def new_certificate(credentials: Credentials | None) -> CertificateKeeper | None:
    """Return what watches the certificate of links, if they have one."""
    return None if credentials is None else CertificateKeeper(TlsTransport(credentials))


def new_store(path: Path, on_written: Callable[[str], None]) -> BackgroundStore:
    """Return what keeps the members in the cluster file."""
    return BackgroundStore(
        FileMembership(path, loader=load_cluster, rewriter=save_members),
        judge=partial(check_writable, path),
        on_written=on_written,
    )


def new_peers(
    engine: Engine,
    cluster: ClusterConfig,
    certificate: CertificateKeeper | None,
    store: BackgroundStore,
    keeper: StateKeeper,
    *,
    rng: random.Random,
    heartbeat_key: bytes | None,
    clock_milliseconds: Callable[[], int],
) -> Peers:
    """Return the links and the heartbeat."""
    return Peers(
        engine,
        cluster,
        transport=TcpTransport() if certificate is None else certificate.transport,
        rng=rng,
        heartbeat_key=heartbeat_key,
        has_tls=certificate is not None,
        store=store,
        keeper=keeper,
        clock_milliseconds=clock_milliseconds,
    )


def new_disk_watch(path: Path, peers: Peers) -> DiskWatch:
    """Return what looks whether the cluster file can be written."""
    return DiskWatch(partial(check_room, path), on_look=peers.members.on_room)


def new_pager(daemon: DaemonConfig, engine: Engine, peers: Peers) -> Pager:
    """Return what front ends call."""
    return Pager(engine, peers, put_wait_seconds_max=daemon.remote.put_wait_seconds_max)


def new_servers(
    daemon: DaemonConfig,
    pager: Pager,
    exports: Exports,
    keeper: StateKeeper,
    memory: NodeMemory,
    *,
    descriptors: Descriptors,
    arrival: Arrival,
    lingering_at: LingeringAt,
) -> tuple[NbdServer, TmemServer]:
    """Return the servers of disks and of programs."""
    nbd = new_nbd_server(
        daemon, pager, exports.all,
        descriptors=descriptors, arrival=arrival, lingering_at=lingering_at,
    )  # fmt: skip
    tmem = new_tmem_server(
        daemon, pager, keeper.marks,
        follow=memory.follow, left=memory.pages.store.pools.left_to_programs,
        descriptors=descriptors, arrival=arrival, lingering_at=lingering_at,
    )  # fmt: skip
    return nbd, tmem
