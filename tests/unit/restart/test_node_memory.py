"""What a start takes up of kept memory and what it says, and which starts count against the memory.

These are the ones that ended before they had served with all of it read again.
"""

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from config.model import MIB, DaemonConfig, MemoryConfig, PoolCodec
from nodemanager.ids import Incarnation, NodeId
from ramsterd.core import pools
from ramsterd.core.codec import CodecMissing, Compressor
from ramsterd.core.page import PoolKind
from ramsterd.core.pool_identity import export_pool
from ramsterd.kept.keepers.keeper import KeeperRefused
from ramsterd.kept.keepers.tmpfs_keeper import TmpfsKeeper
from ramsterd.kept.super_page import ATTEMPTS_MAX
from ramsterd.pagepath.engine import Engine
from ramsterd.reconfigure.exports import EXPORT_OBJECT
from ramsterd.restart.node_memory import SERVED_SECONDS, NodeMemory
from ramsterd.statefile.content import Content, Record
from ramsterd.statefile.marks import Marks
from tests.helpers.clusters import cluster_of
from tests.helpers.kept_folders import kept_folder
from tests.helpers.made_pages import joined, make_page
from tests.helpers.node_memories import make_node_memory

GENERATION = "ab" * 16
CONFIG = MemoryConfig(budget=8 * MIB, budget_max=8 * MIB, pages_max=1 << 14)


@pytest.fixture
def folder() -> Iterator[Path]:
    with kept_folder() as path:
        yield path


def start(folder: Path) -> NodeMemory:
    return make_node_memory(CONFIG, Incarnation(7), TmpfsKeeper(folder, bytes_wanted=4096))


def make_engine(memory: NodeMemory) -> Engine:
    return Engine(
        daemon=DaemonConfig(node="one", cluster=Path("none"), memory=CONFIG),
        cluster=cluster_of(2),
        local=NodeId(1),
        incarnation=memory.incarnation,
        kept=memory.pages,
        rng=random.Random(1),
    )


def kill(memory: NodeMemory) -> None:
    """End as a process that is killed: it says nothing."""
    memory._memory.close()


def test_a_memory_that_ended_too_many_starts_is_given_up(folder: Path) -> None:
    kill(start(folder))
    for attempts in range(1, ATTEMPTS_MAX + 1):
        memory = start(folder)
        assert memory.statistics().attempts == attempts
        kill(memory)
    memory = start(folder)
    assert "ended too many starts" in memory.statistics().given_up
    memory.end()


def test_a_start_that_ends_in_order_takes_its_attempt_back(folder: Path) -> None:
    kill(start(folder))
    kill(start(folder))
    for _ in range(ATTEMPTS_MAX + 1):
        memory = start(folder)
        assert memory.statistics().attempts == 2
        memory.end()


async def test_a_start_that_has_read_everything_again_has_shown_that_the_memory_is_good(
    folder: Path, autojump_clock: MockClock
) -> None:
    kill(start(folder))
    for _ in range(ATTEMPTS_MAX + 1):
        memory = start(folder)
        until = trio.current_time() + SERVED_SECONDS / 2
        await memory.vouch(lambda until=until: trio.current_time() < until)  # type: ignore[misc]  # can't infer
        assert trio.current_time() < until + 1
        assert memory.statistics().attempts == 0
        kill(memory)


async def test_a_start_that_is_killed_while_it_reads_has_shown_nothing(
    folder: Path, autojump_clock: MockClock
) -> None:
    kill(start(folder))
    memory = start(folder)
    with trio.move_on_after(SERVED_SECONDS / 2):
        await memory.vouch(lambda: True)
    assert memory.statistics().attempts == 1
    memory.end()


async def test_a_start_that_has_served_for_a_good_while_need_not_have_read_everything(
    folder: Path, autojump_clock: MockClock
) -> None:
    kill(start(folder))
    memory = start(folder)
    await memory.vouch(lambda: True)
    assert trio.current_time() == pytest.approx(SERVED_SECONDS)
    assert memory.statistics().attempts == 0
    memory.end()


def test_a_pool_of_a_lost_export_is_not_served_by_the_next_start(folder: Path) -> None:
    """It was made anew, and is blank; the export stays lost until an operator says otherwise."""
    first = start(folder)
    pool = make_engine(first).new_pool(PoolKind.PERSISTENT, export_pool("disk"))
    kill(first)
    memory = start(folder)
    engine = make_engine(memory)
    content = Content(1, {"disk": Record("0" * 32, lost_at=5)})
    marks = Marks(content, new_generation=lambda: "1" * 32, started_at=9)
    memory.take_up(marks, engine)
    assert marks.of("disk").is_lost
    again = engine.new_pool(PoolKind.PERSISTENT, export_pool("disk"))
    assert again != pool
    while engine.machines.slices.next_deadline() is not None:
        engine.machines.slices.on_deadline(1e9)
    assert engine.store.pages_of(again) == 0
    memory.end()


def left_export(folder: Path, object_id: bytes) -> None:
    """A process that was killed had a page of an export, in an object of that id."""
    memory = start(folder)
    store = make_engine(memory).store
    pool = store.new_pool(PoolKind.PERSISTENT, export_pool("disk"))
    memory._memory.journal.filled(pool, GENERATION)
    store.put(pool, object_id, 0, joined([make_page(200)]))
    kill(memory)


@pytest.mark.parametrize("object_id", [EXPORT_OBJECT, b"flipped"])
async def test_an_export_opens_with_its_pages_and_not_without_the_object_that_has_them(
    folder: Path, object_id: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """With another object id, by a flipped bit, it would be blank."""
    caplog.set_level("INFO", "ramster.memory")
    left_export(folder, object_id)
    memory = start(folder)
    engine = make_engine(memory)
    content = Content(1, {"disk": Record(GENERATION)})
    marks = Marks(content, new_generation=lambda: "1" * 32, started_at=9)
    memory.take_up(marks, engine)
    pool = engine.new_pool(PoolKind.PERSISTENT, export_pool("disk"))
    assert marks.of("disk").is_lost == (object_id != EXPORT_OBJECT)
    assert engine.store.pages_of(pool) == (object_id == EXPORT_OBJECT)
    memory.resume(engine)
    assert caplog.messages[-1].startswith(
        "1 pages of the last run, which was killed or crashed, are here again after "
    )
    memory.end()


async def test_a_start_without_pages_says_who_keeps_them(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "ramster.memory")
    memory = start(folder)
    memory.resume(make_engine(memory))
    assert caplog.messages == [f"the pages of this node are kept by {folder} ([memory] keep)"]
    memory.is_forgotten = True
    assert not memory.outlives_process
    memory.end()
    assert not os.listdir(folder)


def missing(codec: PoolCodec) -> Compressor:
    raise CodecMissing(f"{codec.value} needs the package zstandard: install ramster[zstd]")


def test_a_start_without_the_library_of_a_codec_costs_no_page(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = start(folder)
    make_engine(first).new_pool(PoolKind.PERSISTENT, export_pool("disk"), codec=PoolCodec.ZSTD)
    kill(first)
    with monkeypatch.context() as patched:
        patched.setattr(pools, "compressor_of", missing)
        for _ in range(ATTEMPTS_MAX + 1):
            with pytest.raises(KeeperRefused, match=r"zstd needs .* install ramster\[zstd\]"):
                start(folder)
    memory = start(folder)
    assert memory.is_attached
    assert memory.statistics().attempts == 1
    memory.end()
