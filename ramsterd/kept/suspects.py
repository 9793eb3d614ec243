"""The verdict on one row of a kept memory that is not as rows mostly are.  Pure.

What a crash leaves is told from what it can't leave.  The first costs nothing: copies that were
being made or given up are taken for what they are.  The second costs that page, and is counted by
its fault.
"""

import enum
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final, TypeAlias

from config.limits import COPIES_MAX
from ramsterd.core.codec import PACKED_FILL, PACKED_WITH_BYTES
from ramsterd.core.family import Family

# Where the zpage of a row is: in a block of a family, or one of these.
NOT_HERE: Final = 255
FILLED: Final = 254
# A slot of no block, or that is another row's.
NO_SLOT: Final = 253
assert max(Family) < NO_SLOT

_PERSISTENT: Final = int(Family.OWN_PERSISTENT)
_EPHEMERAL: Final = int(Family.OWN_EPHEMERAL)
_CLEAN: Final = int(Family.OWN_CLEAN)
FOREIGN: Final = frozenset({int(Family.FOREIGN_PERSISTENT), int(Family.FOREIGN_EPHEMERAL)})

# (family of the pool, where the zpage is, whether it has holders) of rows as they are between two
# operations.
GOOD_SHAPES: Final = frozenset(
    {
        (_PERSISTENT, _PERSISTENT, False),
        (_PERSISTENT, _CLEAN, True),
        *((own, NOT_HERE, True) for own in (_PERSISTENT, _EPHEMERAL)),
        *((own, FILLED, False) for own in (_PERSISTENT, _EPHEMERAL)),
        *((family, family, False) for family in (_EPHEMERAL, *FOREIGN)),
    }
)
# Codecs and lengths that a row may have.
VALID_PACKED: Final = PACKED_WITH_BYTES | {PACKED_FILL}

# As a row has them: in front, each once, and 0 behind; or without these zeros.
Holders: TypeAlias = tuple[int, ...]
NO_HOLDERS: Final[Holders] = (0,) * COPIES_MAX


class Fault(enum.Enum):
    """What is not as it should be; the values are labels of a metric."""

    # A crash leaves these.
    HELD_AND_HERE = "holders were noted or forgotten"
    CLEAN_WITHOUT_HOLDER = "a clean block was adopted"
    HOLDER_TWICE = "a holder was forgotten"
    NOWHERE = "no copy"  # the last one was given up, and the page was about to be lost
    # And never these.
    NO_ROW = "no row of its own"
    SERIAL = "a serial that was never used"
    ENCODING = "no encoding"
    SLOT = "no slot of its own"
    UNKNOWN_HOLDER = "an unknown holder"


# What SIGKILL alone explains.
LEFT_BY_CRASH: Final = frozenset(
    {Fault.HELD_AND_HERE, Fault.CLEAN_WITHOUT_HOLDER, Fault.HOLDER_TWICE, Fault.NOWHERE}
)


@dataclass(frozen=True, slots=True)
class FoundRow:
    """A row that is to be judged, and what stands around it."""

    # Of its pool.
    family: int
    is_serial_used: bool
    packed: int
    # 0: not here.
    location: int
    # Where that is: the family of a block that has a slot of this row's there, long enough; or
    # NO_SLOT.
    slot: int
    holders: Holders


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a row; a page whose row `is_broken` is lost, or a hole."""

    fault: Fault | None
    location: int
    holders: Holders
    is_broken: bool = False


def judge_row(row: FoundRow, known_holders: AbstractSet[int]) -> Verdict:
    """Return what can be vouched for."""
    for is_good, fault in (
        (row.is_serial_used, Fault.SERIAL),
        (row.packed in VALID_PACKED, Fault.ENCODING),
    ):
        if not is_good:
            return Verdict(fault, 0, (), is_broken=True)
    named = tuple(dict.fromkeys(filter(None, row.holders)))
    holders = tuple(each for each in named if each in known_holders)
    found = Fault.UNKNOWN_HOLDER if len(holders) < len(named) else None
    if found is None and not are_holders_normal(row.holders):
        found = Fault.HOLDER_TWICE
    if row.family in FOREIGN or row.packed == PACKED_FILL:
        holders, found = (), found or (Fault.HELD_AND_HERE if named else None)
    if row.packed == PACKED_FILL:
        # One that has a slot as well is either, and nobody knows which.
        return Verdict(Fault.SLOT if row.location else found, 0, (), is_broken=row.location > 0)
    if not row.location or not _is_allowed(row.family, row.slot):
        found = Fault.SLOT if row.location else found
        return Verdict(
            found or (None if holders else Fault.NOWHERE), 0, holders, is_broken=not holders
        )
    if row.slot == _CLEAN and not holders:
        return Verdict(found or Fault.CLEAN_WITHOUT_HOLDER, row.location, ())
    if row.slot != _CLEAN and holders:
        return Verdict(found or Fault.HELD_AND_HERE, row.location, ())
    return Verdict(found, row.location, holders)


def normal_holders(holders: Holders) -> Holders:
    """Return holders with zeros behind."""
    return (*holders, *(0,) * (COPIES_MAX - len(holders)))


def are_holders_normal(holders: Holders) -> bool:
    """Whether holders stand in front, and each once."""
    return holders == normal_holders(tuple(dict.fromkeys(filter(None, holders))))


def _is_allowed(family: int, slot: int) -> bool:
    """Whether pages of a pool of one family may stand in a block of another."""
    return slot == family or (family == _PERSISTENT and slot == _CLEAN)
