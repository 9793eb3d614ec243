"""Clients of the tmem socket: `Client` blocks, `AsyncClient` is for trio; the same names otherwise.

A program that uses no `AsyncClient` imports no trio, which takes longer than all else here.
"""

from typing import TYPE_CHECKING

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
from ramsterd.frontends.tmem.messages import PAGE_BYTES, PoolKind

if TYPE_CHECKING:
    from ramsterd.client.trio_client import AsyncClient, AsyncPool

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


def __getattr__(name: str) -> object:
    """Import what is for trio when it is asked for (PEP 562)."""
    if name in {"AsyncClient", "AsyncPool"}:
        from ramsterd.client import trio_client  # noqa: PLC0415  see above

        return getattr(trio_client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
