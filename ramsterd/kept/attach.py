"""Attach: what an earlier process has left is judged and repaired, and the heap's side of it is built.  Pure.

Mappings are walked only where there is memory: to read a hole would make it resident.
"""

from collections.abc import Callable, Mapping as MappingOf, Sequence
from dataclasses import dataclass, replace
from typing import Final

from ramsterd.core.adoption import adopt_table
from ramsterd.core.arena import FRAME_BYTES, MapMemory, Mapping
from ramsterd.core.redo import replay
from ramsterd.core.rows import FIRST_ROW, ROW_BYTES
from ramsterd.core.size_classes import BLOCK_STRIDE_BYTES
from ramsterd.core.store import Store
from ramsterd.core.table_words import FIRST_OBJECT, NODE_BYTES, NODE_WORDS, OBJECT_BYTES
from ramsterd.core.versions import StoreLimits
from ramsterd.kept.judge import Judgement, Tables, judge
from ramsterd.kept.layout import Span
from ramsterd.kept.names import KeptHolder, KeptPool, Names
from ramsterd.kept.repair import repair
from ramsterd.kept.trees import Trees, walk_trees

_WORD_BYTES: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """What was taken up."""

    store: Store
    # Own and foreign pools whose pages are there, and the holders that rows may name.
    pools: Sequence[KeptPool]
    holders: Sequence[KeptHolder]
    # Pools that ended, or are lost as a whole: none of their pages is there.
    ended_pools: Sequence[int]
    # Of those that are lost: which, and why, for operators.
    damaged: MappingOf[int, str]
    judgement: Judgement
    pages: int


def fit_limits(limits: StoreLimits, lengths: MappingOf[str, int]) -> StoreLimits:
    """Return limits for mappings that are at least as long as those that were kept.

    A smaller budget stays one.
    """
    pages_max = max(
        limits.pages_max,
        lengths["rows"] // ROW_BYTES - FIRST_ROW,
        4 * (lengths["entries"] // NODE_BYTES),
    )
    # The most blocks are of one frame; block 0 is none.
    budget_bytes_max = max(
        limits.budget_bytes_max, FRAME_BYTES * (lengths["arena"] // BLOCK_STRIDE_BYTES - 1)
    )
    return replace(limits, pages_max=pages_max, budget_bytes_max=budget_bytes_max)


def attach_store(
    map_memory: MapMemory,
    limits: StoreLimits,
    *,
    names: Names,
    serial_limit: int,
    on_damaged: Callable[[int], None],
) -> Attached:
    """Return a store with all pages that can be vouched for.

    Args:
        map_memory: Returns what was kept.
        limits: See `fit_limits`.
        names: What pools and holders mean.
        serial_limit: No serial of ours beyond it was ever used.
        on_damaged: Called with each pool that is lost as a whole, before anything shows it no
            more.  It notes that the pool ended: what was damaged is zeroed next, and a process that
            finds only that would take the pool for an empty one.
    """
    mappings: dict[str, Mapping] = {}

    def map_kept(name: str, length: int) -> Mapping:
        return mappings.setdefault(name, map_memory(name, length))

    store = Store(map_kept, limits)
    blocks = _block_words(mappings["blocks"])
    replay(mappings["redo"].view, mappings["rows"].view, mappings["arena"].view, blocks)
    trees = _walk(mappings, names)
    for damaged in trees.damaged:
        on_damaged(damaged)
    tables = _tables(mappings, trees, blocks, names, serial_limit)
    judgement = judge(tables)
    repair(tables, judgement)
    pools = [
        pool
        for pool in names.pools.values()
        if not pool.is_ended and pool.pool not in trees.damaged
    ]
    for pool in pools:
        adopted = store.pools.adopt(pool.pool, pool.kind, pool.identity, pool.codec)
        if not adopted.identity.is_foreign:
            store.pools.leave(adopted)
    _adopt(store, trees, judgement, serial_limit)
    return Attached(
        store=store,
        pools=pools,
        holders=list(names.holders.values()),
        ended_pools=sorted(names.pools.keys() - {each.pool for each in pools}),
        damaged={
            pool: f"{_described(names.pools[pool])}: {reason}"
            for pool, reason in trees.damaged.items()
        },
        judgement=judgement,
        pages=judgement.rows_used.count(1),
    )


def _described(pool: KeptPool) -> str:
    identity = pool.identity
    if identity.is_disk:
        return f"export {identity.label}"
    return f"{'pages of' if identity.is_foreign else 'pool'} {identity.label}"


def _walk(mappings: MappingOf[str, Mapping], names: Names) -> Trees:
    return walk_trees(
        mappings["objects"].view,
        mappings["nodes"].view.cast("Q"),
        mappings["entries"].view.cast("I"),
        names.pools,
        object_spans=_item_spans(mappings["objects"], OBJECT_BYTES, FIRST_OBJECT),
        nodes_count=_end(mappings["nodes"]) // (_WORD_BYTES * NODE_WORDS),
    )


def _tables(
    mappings: MappingOf[str, Mapping],
    trees: Trees,
    blocks: memoryview,
    names: Names,
    serial_limit: int,
) -> Tables:
    rows = mappings["rows"]
    return Tables(
        rows=rows.view[: _end(rows)],
        row_spans=_item_spans(rows, ROW_BYTES, FIRST_ROW),
        entries=mappings["entries"].view.cast("I"),
        slot_rows=mappings["slots"].view.cast("I"),
        blocks=blocks,
        trees=trees,
        serial_limit=serial_limit,
        holders=names.holders.keys(),
    )


def _adopt(store: Store, trees: Trees, judgement: Judgement, serial_limit: int) -> None:
    versions = store.versions
    versions.adopt(judgement.zpages, judgement.zpage_bytes, serial_last=serial_limit)
    versions.rows.adopt(judgement.rows_used)
    versions.zbud.adopt(judgement.chunks_of_block, judgement.family_of_block, judgement.free_slots)
    adopt_table(versions, trees.table(judgement.leaf_used))


# Where there is memory.


def _end(mapping: Mapping) -> int:
    """Return where the last memory of a mapping ends; its first frame counts as there."""
    return max((stop for _, stop in mapping.resident_spans()), default=0)


def _block_words(mapping: Mapping) -> memoryview:
    """Return the words of all blocks that were ever used, and of block 0."""
    used_bytes = len(bytes(mapping.view[: _end(mapping)]).rstrip(b"\0"))
    return mapping.view[: _WORD_BYTES * max(1, -(-used_bytes // _WORD_BYTES))].cast("Q")


def _item_spans(mapping: Mapping, item_bytes: int, first_item: int) -> list[Span]:
    return [
        (max(first_item, start // item_bytes), stop // item_bytes)
        for start, stop in mapping.resident_spans()
        if stop // item_bytes > first_item
    ]
