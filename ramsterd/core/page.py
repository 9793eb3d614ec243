"""The page: its size, and the outcomes of a put and a get."""

import enum
from typing import Final, NewType

from config import limits

PoolId = NewType("PoolId", int)

PAGE_BYTES: Final = limits.PAGE_BYTES
ZERO_PAGE: Final = bytes(PAGE_BYTES)
# A page of no pool starts somewhere; an NBD export keeps all its pages in one object.
INDEX_MAX: Final = (1 << 48) - 1
OBJECT_ID_BYTES_MAX: Final = 24


class PoolKind(enum.Enum):
    """Whether pages of a pool may vanish."""

    PERSISTENT = "persistent"
    EPHEMERAL = "ephemeral"


class CorruptPage(Exception):
    """Bytes that are not what was stored: a wrong length, a wrong checksum, or no valid zpage."""
