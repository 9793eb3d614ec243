"""Metrics of this node's memory: the budget, the arena, the tables, and what puts and gets did with pages."""

from collections.abc import Iterator
from typing import Final

from prometheus_client.core import Metric

from ramsterd.core.counters import StoreStatistics
from ramsterd.core.family import Family
from ramsterd.observe.metric import by, counter, gauge, one
from ramsterd.observe.snapshot import DaemonStatistics
from ramsterd.pagepath.engine_statistics import EngineStatistics

# The labels `place` and `kind`; joined they are the family's name in `status`.
PLACES: Final = {
    Family.OWN_PERSISTENT: ["own", "persistent"],
    Family.OWN_EPHEMERAL: ["own", "ephemeral"],
    Family.OWN_CLEAN: ["own", "clean"],
    Family.FOREIGN_PERSISTENT: ["foreign", "persistent"],
    Family.FOREIGN_EPHEMERAL: ["foreign", "ephemeral"],
}


def memory_metrics(now: DaemonStatistics) -> Iterator[Metric]:
    """Yield the families."""
    yield from _arena(now)
    yield from _tables(now.engine.store)
    yield from _puts_and_gets(now.engine.store)
    yield from _copies(now.engine)


def _arena(now: DaemonStatistics) -> Iterator[Metric]:
    store, zbud = now.engine.store, now.engine.store.zbud
    yield gauge(
        "budget_bytes", "Memory that compressed pages may use on this node.", [],
        one(zbud.budget_bytes),
    )  # fmt: skip
    yield gauge(
        "resize_target_bytes", "The budget that an operator asked for last.", [],
        one(now.engine.resize.target_bytes),
    )  # fmt: skip
    yield gauge("resident_bytes", "Memory that the arena uses now.", [], one(zbud.resident_bytes))
    yield gauge(
        "warm_bytes", "Free memory that the arena keeps for the next pages.", [],
        one(zbud.warm_bytes),
    )  # fmt: skip
    yield from _reserve(store)
    for name, text, counts in (
        ("zpages", "Compressed pages in the arena: own ones, and foreign ones of peers. A clean page is at a peer too.",
         store.zpages),
        ("zpage_bytes", "Size of these compressed pages.", store.zpage_bytes),
        ("blocks", "Blocks of the arena in use. A block holds compressed pages of one size class.",
         zbud.blocks),
    ):  # fmt: skip
        yield gauge(
            name, text, ["place", "kind"],
            [(PLACES[family], count) for family, count in counts.items()],
        )  # fmt: skip
    yield counter(
        "compacted_zpages", "Compressed pages moved to free sparsely used blocks.", [],
        one(now.engine.compacted_zpages_total),
    )  # fmt: skip


def _reserve(store: StoreStatistics) -> Iterator[Metric]:
    reserve = store.reserve
    yield gauge(
        "reserve_wanted_bytes", "Free memory that is to be resident before pages need it.", [],
        one(reserve.wanted_bytes),
    )  # fmt: skip
    yield gauge(
        "reserve_resident_bytes", "How much of this reserve is resident now.", [],
        one(reserve.resident_bytes),
    )  # fmt: skip
    yield gauge(
        "reserve_tables_bytes", "Free memory of the tables that is resident for the pages of the reserve.",
        [], one(reserve.tables_bytes),
    )  # fmt: skip
    yield gauge(
        "reserve_short", "Whether the kernel had no memory for the reserve the last time.", [],
        one(int(reserve.is_short)),
    )  # fmt: skip
    yield counter(
        "reserve_populated_bytes", "Memory that was made resident for the reserve.", [],
        one(reserve.populated_bytes_total),
    )  # fmt: skip
    yield counter(
        "reserve_refused", "Times that the kernel had no memory for the reserve.", [],
        one(reserve.refused_total),
    )  # fmt: skip


def _tables(store: StoreStatistics) -> Iterator[Metric]:
    yield gauge(
        "rows", "Page versions in the tables of this node: its own pages, and pages of other nodes here.",
        [], one(store.rows),
    )  # fmt: skip
    yield gauge("rows_max", "Page versions that the tables can hold.", [], one(store.rows_max))
    yield gauge(
        "tables_bytes", "Memory that the tables of pages use, outside the budget.", [],
        one(store.tables_bytes),
    )  # fmt: skip
    yield gauge(
        "tables_bytes_max", "Memory that the tables of pages may use.", [],
        one(store.tables_bytes_max),
    )  # fmt: skip
    yield gauge(
        "pools", "Pools in the store: exports, pools of programs, and foreign pages by owner.", [],
        one(store.pools),
    )  # fmt: skip


def _puts_and_gets(store: StoreStatistics) -> Iterator[Metric]:
    zero, same_filled, raw = (
        store.put_zero_pages_total, store.put_same_filled_pages_total, store.put_raw_pages_total,
    )  # fmt: skip
    yield counter(
        "put_pages", "Pages written, by how the store keeps them.", ["codec"],
        by({
            "zero": zero, "same_filled": same_filled, "raw": raw,
            "compressed": store.put_pages_total - zero - same_filled - raw,
        }),
    )  # fmt: skip
    yield counter(
        "put_zpage_bytes", "Compressed size of all pages written.", [],
        one(store.put_zpage_bytes_total),
    )  # fmt: skip
    yield counter(
        "get_pages", "Pages read, by where they were. A hole was never written, and reads as zeros.",
        ["place"],
        by({
            "local": store.get_local_pages_total,
            "remote": store.get_remote_pages_total,
            "hole": store.get_hole_pages_total,
            "lost": store.get_lost_pages_total,
        }),
    )  # fmt: skip
    yield counter(
        "flushed_pages", "Pages that clients discarded or programs flushed.", [],
        one(store.flushed_pages_total),
    )  # fmt: skip
    foreign = store.evicted_foreign_pages_total
    yield counter(
        "evicted_pages", "Ephemeral pages evicted to make room, of this node (own) and of other nodes.",
        ["place"], by({"own": store.evicted_pages_total - foreign, "foreign": foreign}),
    )  # fmt: skip
    yield counter(
        "lost_pages", "Pages of this node whose last copy is gone.", [], one(store.lost_pages_total)
    )
    yield gauge(
        "unreadable_pages", "Lost pages, at most: reads of them fail until they are written or discarded.", [],
        one(store.unreadable_pages),
    )  # fmt: skip


def _copies(engine: EngineStatistics) -> Iterator[Metric]:
    yield gauge(
        "copies_wanted", "Peers on which a page is kept that is not here, the fewest of all exports and pools"
        " with persistent pages; 0: there are none.", [], one(engine.store.copies_wanted),
    )  # fmt: skip
    yield gauge(
        "default_copies", "The same of an export or pool that says nothing of it.", [],
        one(engine.default_copies),
    )  # fmt: skip
