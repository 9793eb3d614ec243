"""The counters of the tmem server.  Pure."""

import enum
from dataclasses import dataclass

from ramsterd.frontends.clients import counters as clients
from ramsterd.frontends.clients.counters import ClientStatistics
from ramsterd.frontends.tmem.messages import ErrorCode, TmemType
from ramsterd.frontends.tmem.pool_records import PoolSnapshot, UserSnapshot


class End(enum.Enum):
    """Why a connection ended; the value stands in the log and labels the metric."""

    CLOSED = "closed"
    BROKEN = "connection broke"
    GARBAGE = "broke the protocol"
    TOO_SLOW = "said no HELLO in time"
    STOPPED = "server stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class TmemStatistics(ClientStatistics):
    """One snapshot."""

    pools: tuple[PoolSnapshot, ...]
    users: tuple[UserSnapshot, ...]
    doomed_pools: int


class Counters(clients.Counters[End, ErrorCode]):
    """The server's counters; all connections share one."""

    __slots__ = ()

    def __init__(self) -> None:
        requests = tuple(each for each in TmemType if each is not TmemType.ERROR)
        super().__init__(End, requests, ErrorCode)
