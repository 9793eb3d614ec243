"""The servers of the front ends, as `ramsterd.toml` has them."""

from collections.abc import Callable, Iterable, Sequence

from config.model import DaemonConfig
from ramsterd.core.page import PoolId
from ramsterd.core.pools import Pool
from ramsterd.endpoints.descriptors import Descriptors
from ramsterd.frontends.clients.exchange import LingeringAt
from ramsterd.frontends.nbd.export import Export
from ramsterd.frontends.nbd.server import NbdServer
from ramsterd.frontends.pager import Pager
from ramsterd.frontends.tmem.pool_records import quotas_of
from ramsterd.frontends.tmem.server import TmemServer
from ramsterd.frontends.tmem.users import allowed_users
from ramsterd.handover.arrival import Arrival
from ramsterd.statefile.marks import Mark, Marks


def new_nbd_server(
    config: DaemonConfig,
    pager: Pager,
    exports: Sequence[Export],
    *,
    descriptors: Descriptors,
    arrival: Arrival,
    lingering_at: LingeringAt,
) -> NbdServer:
    """Return the server of disks."""
    return NbdServer(
        pager,
        exports,
        socket_path=config.nbd.socket,
        listen=config.nbd.listen,
        connections_max=config.nbd.connections_max,
        descriptors=descriptors,
        arrival=arrival,
        lingering_at=lingering_at,
    )


def new_tmem_server(
    config: DaemonConfig,
    pager: Pager,
    marks: Marks,
    *,
    follow: Callable[[Mark, PoolId], None],
    left: Iterable[Pool],
    descriptors: Descriptors,
    arrival: Arrival,
    lingering_at: LingeringAt,
) -> TmemServer:
    """Return the server of programs, with the pools that an earlier process left."""
    return TmemServer(
        pager,
        socket_path=config.tmem.socket,
        quotas=quotas_of(config.tmem),
        users=allowed_users(config.tmem.users),
        connections_max=config.tmem.connections_max,
        marks=marks,
        follow=follow,
        left=left,
        descriptors=descriptors,
        arrival=arrival,
        lingering_at=lingering_at,
    )
