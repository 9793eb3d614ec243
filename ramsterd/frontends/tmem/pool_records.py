"""What a book of pools has: pools and their users, how many pages each may have, and what is shown of them.  Pure."""

from dataclasses import dataclass, field

from config.model import PoolCodec, TmemConfig
from ramsterd.core.page import PoolId, PoolKind
from ramsterd.frontends.tmem.messages import ErrorCode
from ramsterd.statefile.marks import Mark


class Refused(Exception):
    """A request is not done; the client is told why."""

    def __init__(self, code: ErrorCode, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotas:
    """The bounds of the config: pages of one pool; pages, objects and pools of one user."""

    pool_pages_max: int
    user_pages_max: int
    user_objects_max: int
    pools_per_user_max: int


def quotas_of(tmem: TmemConfig) -> Quotas:
    """Return the quotas that the file has."""
    return Quotas(
        pool_pages_max=tmem.pool_pages_max,
        user_pages_max=tmem.user_pages_max,
        user_objects_max=tmem.user_objects_max,
        pools_per_user_max=tmem.pools_per_user_max,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSnapshot:
    """One pool that can be used; `pages` may count some that were evicted."""

    user: int
    kind: PoolKind
    name: str
    codec: PoolCodec
    pages: int
    objects: int
    connections: int
    is_lost: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class UserSnapshot:
    """The pools and pages of one user, with pools on their way out."""

    user: int
    pools: int
    pages: int


@dataclass(slots=True, eq=False)
class User:
    """One user id: `pages` is the sum over its pools."""

    user: int
    pools: list["TmemPool"] = field(default_factory=list)
    pages: int = 0
    # Pages that were tried to be put since the pools were last counted.
    tried_pages: int = 0


@dataclass(slots=True, eq=False)
class TmemPool:
    """One pool of a user; without a name it is private to one connection."""

    pool: PoolId
    kind: PoolKind
    name: str
    codec: PoolCodec
    owner: User
    # Whether pages may be put, or its pages are lost.
    mark: Mark
    pages: int = 0
    # Pages of puts that wait for room: charged, and not yet in the store.
    waiting_pages: int = 0
    connections: int = 0
    is_gone: bool = False
