"""What a reload does to the parts of a running daemon, in one step of the loop."""

import trio

from config.model import DaemonConfig
from ramsterd.frontends.nbd.server import NbdServer
from ramsterd.frontends.tmem.pool_records import quotas_of
from ramsterd.frontends.tmem.server import TmemServer
from ramsterd.host.certificate import CertificateKeeper
from ramsterd.host.heartbeat_key import replace_heartbeat_key
from ramsterd.host.logs.log import Log
from ramsterd.pagepath.engine import Engine
from ramsterd.pagepath.peers import Peers
from ramsterd.reconfigure.examine import Reread
from ramsterd.reconfigure.exports import Exports
from ramsterd.reconfigure.reload import Renewal


def apply_config(
    config: DaemonConfig,
    found: Reread,
    *,
    log: Log,
    exports: Exports,
    engine: Engine,
    peers: Peers,
    nbd: NbdServer,
    tmem: TmemServer,
) -> None:
    """Follow a changed file.

    `config.differences` says in what it may differ from the one that runs.

    Raises:
        CannotApply: Nothing has changed.
    """
    exports.follow(config.export)  # the only one that may fail
    log.follow(config.log)
    engine.set_limits(config, now=trio.current_time())
    nbd.set_exports(exports.all, connections_max=config.nbd.connections_max)
    tmem.set_limits(
        quotas=quotas_of(config.tmem),
        users=found.tmem_users,
        connections_max=config.tmem.connections_max,
    )
    peers.settle()


def use_keys(found: Reread, *, certificate: CertificateKeeper | None, peers: Peers) -> Renewal:
    """Use what certificate and heartbeat key are now, if they are used at all, and look at the cluster file.

    Returns what is to be said of the cluster file, and what is new.
    """
    loaded = []
    if certificate is not None and found.credentials is not None:
        loaded.append(certificate.replace(found.credentials))
    if peers.heartbeat is not None and found.heartbeat_key is not None:
        loaded.append(replace_heartbeat_key(found.heartbeat_key, peers.heartbeat))
    return Renewal(peers.members.check_store(), tuple(each for each in loaded if each))
