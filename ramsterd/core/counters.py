"""The counters of a store: plain ints, read as one snapshot."""

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
class ReserveStatistics:
    """Free memory that is to be resident before it is needed, in bytes.

    `tables_bytes`: what is resident beside it, for the tables of its pages.  `is_short`: the kernel
    had no room for it the last time.
    """

    wanted_bytes: int
    resident_bytes: int
    tables_bytes: int
    is_short: bool
    populated_bytes_total: int
    refused_total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreStatistics:
    """One consistent snapshot; counts of pages unless the name says otherwise."""

    zbud: ZbudStatistics
    reserve: ReserveStatistics
    zpages: dict[Family, int]
    zpage_bytes: dict[Family, int]
    rows: int
    rows_max: int
    # Bytes of memory that all tables use, and may use.
    tables_bytes: int
    tables_bytes_max: int
    pools: int
    # Of this node, persistent, and lost now, at most: reads of them fail until they are put anew or
    # flushed.
    unreadable_pages: int
    # On how many peers a page is kept that is not here, in the pool that wants the fewest of all
    # with persistent pages; 0: there is no such page.
    copies_wanted: int
    put_pages_total: int
    put_zero_pages_total: int
    put_zeroed_pages_total: int
    put_same_filled_pages_total: int
    put_raw_pages_total: int
    put_zpage_bytes_total: int
    get_local_pages_total: int
    get_remote_pages_total: int
    get_hole_pages_total: int
    get_lost_pages_total: int
    flushed_pages_total: int
    # Ephemeral pages dropped to make room, all and those of others.
    evicted_pages_total: int
    evicted_foreign_pages_total: int
    corrupt_pages_total: int
    lost_pages_total: int


class Counters:
    """Plain counts of pages since the start, but for `put_zpage_bytes`.

    `totals` names them for all others.
    """

    def __init__(self) -> None:
        self.put = 0
        self.put_zero = 0
        # Of these, how many by `put_zeros`, which may be a terabyte in one step.
        self.put_zeroed = 0
        self.put_same_filled = 0
        self.put_raw = 0
        self.put_zpage_bytes = 0
        self.get_local = 0
        self.get_remote = 0
        self.get_hole = 0
        self.get_lost = 0
        self.flushed = 0
        self.evicted = 0
        self.evicted_foreign = 0
        self.corrupt = 0
        self.lost = 0

    def totals(self) -> dict[str, int]:
        """Return the counts by the names that `status` and the metrics have: with their unit and `_total`."""
        return {
            f"{name}_total" if name.endswith("_bytes") else f"{name}_pages_total": count
            for name, count in vars(self).items()
        }
