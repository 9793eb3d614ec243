"""What a store counts: plain ints, read as one snapshot."""

from dataclasses import dataclass

from ramsterd.core.family import Family


@dataclass(frozen=True, slots=True, kw_only=True)
class ZbudStatistics:
    """Frames of the arena, in bytes and blocks."""

    budget_bytes: int
    resident_bytes: int
    warm_bytes: int
    blocks: dict[Family, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreStatistics:
    """One consistent snapshot; counts of pages unless the name says otherwise."""

    zbud: ZbudStatistics
    zpages: dict[Family, int]
    zpage_bytes: dict[Family, int]
    rows: int
    rows_max: int
    # Bytes of memory that all tables use, and may use.
    tables_bytes: int
    tables_bytes_max: int
    pools: int
    put_total: int
    put_zero_total: int
    put_zeroed_total: int
    put_same_filled_total: int
    put_raw_total: int
    put_zpage_bytes_total: int
    get_local_total: int
    get_elsewhere_total: int
    get_hole_total: int
    get_lost_total: int
    flushed_total: int
    # Ephemeral pages dropped to make room, all and those of others.
    evicted_total: int
    evicted_foreign_total: int
    corrupt_total: int
    lost_total: int


class Counters:
    """Plain counts since start; `statistics()` publishes them under the same names with `_total`."""

    def __init__(self) -> None:
        self.put = 0
        self.put_zero = 0
        # Of these, how many by `put_zeros`, which may be a terabyte in one step.
        self.put_zeroed = 0
        self.put_same_filled = 0
        self.put_raw = 0
        self.put_zpage_bytes = 0
        self.get_local = 0
        self.get_elsewhere = 0
        self.get_hole = 0
        self.get_lost = 0
        self.flushed = 0
        self.evicted = 0
        self.evicted_foreign = 0
        self.corrupt = 0
        self.lost = 0
