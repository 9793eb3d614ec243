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
from ramsterd.reconfigure.ends import Ends
from ramsterd.reconfigure.examine import Reread
from ramsterd.reconfigure.exports import Exports, Prepared
from ramsterd.reconfigure.reload import Renewal


class RunningParts:
    """The parts of a running daemon that follow a changed file.

    `config.differences` says in what that may differ from the one that runs.
    """

    def __init__(
        self,
        *,
        log: Log,
        exports: Exports,
        engine: Engine,
        peers: Peers,
        nbd: NbdServer,
        tmem: TmemServer,
    ) -> None:
        self._log = log
        self._exports = exports
        self._engine = engine
        self._peers = peers
        self._nbd = nbd
        self._tmem = tmem

    def prepare(self, config: DaemonConfig, ends: Ends | None = None) -> Prepared:
        """Do all that may fail; `apply` or `cancel` comes next.  What ends is shut meanwhile.

        Raises:
            CannotApply: Nothing has changed.
        """
        prepared = self._exports.prepare(
            config.export,
            ends,
            clients_of=self._nbd.clients_of,
            nbd_socket=str(config.nbd.socket or ""),
        )
        if prepared.shut:
            self._nbd.shut(prepared.shut)
        return prepared

    def cancel(self, prepared: Prepared) -> None:
        """Leave all as it was."""
        self._exports.cancel(prepared)
        self._nbd.unshut(prepared.shut)

    def apply(self, config: DaemonConfig, found: Reread, prepared: Prepared) -> None:
        """Follow; `finish` comes next, if anything was shut."""
        self._exports.follow(prepared)
        self._log.follow(config.log)
        self._engine.set_limits(config, now=trio.current_time())
        self._nbd.set_exports(self._exports.all, connections_max=config.nbd.connections_max)
        self._tmem.set_limits(
            quotas=quotas_of(config.tmem),
            users=found.tmem_users,
            connections_max=config.tmem.connections_max,
        )
        self._peers.settle()

    async def finish(self, prepared: Prepared) -> None:
        """Drop the pages beyond the size of an export that has shrunk, and open it again."""
        if prepared.cut:
            await self._exports.drop_beyond(prepared.cut)
        self._nbd.unshut(prepared.shut)


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
