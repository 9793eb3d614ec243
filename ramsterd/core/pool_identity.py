"""Whose pages a pool has: what tells one pool from another, also after a restart."""

import enum
from dataclasses import dataclass


class PoolUse(enum.IntEnum):
    """What a pool is for.  Numbers are kept: append only."""

    EXPORT = 1
    NAMED = 2  # of a program, which finds it again by its name
    PRIVATE = 3  # of one connection
    FOREIGN = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolIdentity:
    """The export, the program's pool, or the owner that pages belong to."""

    use: PoolUse
    # Of an export, or of a program's pool.
    name: str = ""
    # Of a program's pool.
    user: int = 0
    # Of a foreign pool.
    node: int = 0
    incarnation: int = 0

    @property
    def is_foreign(self) -> bool:
        """Whether the pages are those of another node."""
        return self.use is PoolUse.FOREIGN

    @property
    def is_disk(self) -> bool:
        """Whether a hole reads as zeros."""
        return self.use is PoolUse.EXPORT

    @property
    def label(self) -> str:
        """Return what operators read."""
        match self.use:
            case PoolUse.EXPORT:
                return self.name
            case PoolUse.NAMED | PoolUse.PRIVATE:
                return f"{self.user}/{self.name}"
            case PoolUse.FOREIGN:
                return f"node {self.node}"


def export_pool(name: str) -> PoolIdentity:
    """Return the identity of an export's pool."""
    return PoolIdentity(use=PoolUse.EXPORT, name=name)


def program_pool(name: str, user: int = 0) -> PoolIdentity:
    """Return the identity of a program's pool, which without a name is of one connection."""
    return PoolIdentity(use=PoolUse.NAMED if name else PoolUse.PRIVATE, name=name, user=user)


def owner_pool(node: int, incarnation: int) -> PoolIdentity:
    """Return the identity of the pools of one incarnation of an owner."""
    return PoolIdentity(use=PoolUse.FOREIGN, node=node, incarnation=incarnation)
