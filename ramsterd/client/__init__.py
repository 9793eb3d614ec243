"""Clients of the tmem socket: `Client` blocks, `AsyncClient` is for trio; the same names otherwise."""

from ramsterd.client.blocking import Client, Pool
from ramsterd.client.errors import (
    NotAllowed,
    NotConnected,
    NotStored,
    PageLost,
    PageUnreachable,
    PoolFull,
    PoolGone,
    PoolLost,
    RamsterError,
)
from ramsterd.client.trio_client import AsyncClient, AsyncPool
from ramsterd.frontends.tmem.messages import PAGE_BYTES, PoolKind

__all__ = [
    "PAGE_BYTES",
    "AsyncClient",
    "AsyncPool",
    "Client",
    "NotAllowed",
    "NotConnected",
    "NotStored",
    "PageLost",
    "PageUnreachable",
    "Pool",
    "PoolFull",
    "PoolGone",
    "PoolKind",
    "PoolLost",
    "RamsterError",
]
