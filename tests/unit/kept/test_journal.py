"""What pools and holders tell the log of names is there for the next process, before anything has their numbers."""

from config.model import PoolCodec
from nodemanager.ids import Incarnation, NodeId
from ramsterd.core.arena import HeapMapping
from ramsterd.core.page import PoolId, PoolKind
from ramsterd.core.pool_identity import PoolUse, export_pool, owner_pool, program_pool
from ramsterd.core.pools import Pools
from ramsterd.kept.journal import KeptJournal
from ramsterd.kept.name_log import NAMES_BYTES, NameLog
from ramsterd.kept.names import NO_GENERATION, KeptHolder, Names

GENERATION = "ab" * 16


class Story:
    """Pools that tell a journal, and what the next process reads."""

    def __init__(self) -> None:
        self.mapping = HeapMapping("names", NAMES_BYTES)
        self.journal = KeptJournal(NameLog(self.mapping, 0, turn_to=lambda _: None))
        self.pools = Pools()
        self.pools.journal = self.journal

    def read(self) -> Names:
        return NameLog(self.mapping, 0, turn_to=lambda _: None).names


def test_a_pool_is_known_with_all_that_finds_it_again() -> None:
    story = Story()
    story.pools.new(PoolKind.PERSISTENT, export_pool("disk"), codec=PoolCodec.NONE)
    story.pools.new(PoolKind.EPHEMERAL, program_pool("cache", 1000))
    story.pools.new(PoolKind.PERSISTENT, owner_pool(3, 77))
    disk, cache, foreign = story.read().pools.values()
    assert (disk.identity.use, disk.identity.name, disk.codec) == (
        PoolUse.EXPORT,
        "disk",
        PoolCodec.NONE,
    )
    assert (cache.kind, cache.identity.name, cache.identity.user) == (
        PoolKind.EPHEMERAL,
        "cache",
        1000,
    )
    assert (foreign.identity.use, foreign.identity.node, foreign.identity.incarnation) == (
        PoolUse.FOREIGN,
        3,
        77,
    )


def test_a_filling_is_noted_once_and_its_end_too() -> None:
    story = Story()
    pool = story.pools.new(PoolKind.PERSISTENT, export_pool("disk")).pool
    assert story.read().pools[pool].generation == NO_GENERATION
    story.journal.filled(pool, GENERATION)
    written = bytes(story.mapping.view)
    story.journal.filled(pool, GENERATION)
    assert bytes(story.mapping.view) == written
    assert story.read().pools[pool].generation == bytes.fromhex(GENERATION)
    story.journal.filled(pool, "")
    assert story.read().pools[pool].generation == NO_GENERATION


def test_a_pool_that_ended_is_known_until_it_is_gone() -> None:
    story = Story()
    pool = story.pools.new(PoolKind.PERSISTENT, export_pool("disk")).pool
    story.pools.end(PoolId(pool))
    assert story.read().pools[pool].is_ended
    story.pools.remove(PoolId(pool))
    assert not story.read().pools


def test_a_holder_is_known_until_no_row_names_it() -> None:
    story = Story()
    story.journal.on_holder_known(5, NodeId(2), Incarnation(77))
    assert story.read().holders == {5: KeptHolder(5, 2, 77)}
    story.journal.on_holder_ended(5)
    assert story.read().holders == {5: KeptHolder(5, 2, 77, is_ended=True)}
    story.journal.on_holder_forgotten(5)
    assert not story.read().holders
