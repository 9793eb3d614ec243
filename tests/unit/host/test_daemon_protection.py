"""What a daemon asks for to protect itself, in which order, and what it says of what it did not get."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from config.model import DaemonConfig, ExportConfig, LockMemory, MemoryConfig
from ramsterd.host import daemon_protection, heap, protection
from ramsterd.host.daemon_protection import (
    NO_PROTECTION,
    LockRefused,
    Protection,
    protection_of,
)
from ramsterd.host.threads import ThreadRefused

MIB = 1 << 20


class Spare:
    spare_bytes = 20 * MIB


class Kernel:
    """Notes what it is asked for, and refuses some of it."""

    def __init__(self, refused: dict[str, OSError] | None = None) -> None:
        self.refused = refused or {}
        self.asked: list[str] = []
        self.is_flusher = False
        self.locked = 0
        self.oom_score = 0
        self.faults = 7

    def ask(self, what: str) -> None:
        self.asked.append(what)
        if what in self.refused:
            raise self.refused[what]

    def set_io_flusher(self, *, is_one: bool) -> None:
        self.ask("flusher" if is_one else "no flusher")
        self.is_flusher = is_one

    def spare(self) -> None:
        self.ask("OOM score")
        self.oom_score = -1000

    def spare_heap(self) -> Spare:
        self.ask("spare heap")
        return Spare()

    def lock(self, what: str) -> Callable[[], None]:
        def lock() -> None:
            self.ask(what)
            self.locked += 4096

        return lock

    def unlock(self) -> None:
        self.ask("unlock")
        self.locked = 0


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    made = Kernel()
    for name, function in {
        "set_io_flusher": made.set_io_flusher,
        "is_io_flusher": lambda: made.is_flusher,
        "spare_from_oom_killer": made.spare,
        "oom_score_adj": lambda: made.oom_score,
        "lock_program": made.lock("lock program"),
        "lock_from_now_on": made.lock("lock all"),
        "unlock_memory": made.unlock,
        "locked_bytes": lambda: made.locked,
        "major_faults": lambda: made.faults,
    }.items():
        monkeypatch.setattr(protection, name, function)
    monkeypatch.setattr(heap, "keep_freed_memory", lambda: made.ask("mallopt"))
    monkeypatch.setattr(heap, "SpareHeap", made.spare_heap)
    monkeypatch.setattr(daemon_protection, "keep_threads", lambda _: made.ask("threads"))
    return made


def start(
    lock: LockMemory = LockMemory.AUTO, *, limit: int | None = None, serves_swap: bool = False
) -> Protection:
    made = Protection(lock=lock, lock_limit_bytes=limit, serves_swap=serves_swap)
    made.begin()
    made.lock_program()
    made.lock_memory()
    made.say()
    return made


def test_a_daemon_that_serves_swap_asks_for_everything_in_order(
    kernel: Kernel, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    made = start(serves_swap=True)
    assert kernel.asked == [
        "mallopt", "flusher", "OOM score", "threads", "lock program", "spare heap", "lock all",
    ]  # fmt: skip
    kernel.faults += 2
    now = made.statistics()
    assert (now.is_locked, now.locked_bytes, now.lock_limit_bytes) == (True, 8192, None)
    assert (now.is_io_flusher, now.oom_score_adj, now.spare_heap_bytes) == (True, -1000, 20 * MIB)
    assert now.major_faults_total == 2, "since the start"
    assert caplog.messages == ["all memory of this daemon is locked"]


def test_any_daemon_locks_its_memory_where_it_may(kernel: Kernel) -> None:
    assert start().statistics().is_locked
    assert kernel.asked == ["lock all"], "which needs no more memory"


@pytest.mark.parametrize(
    ("lock", "limit"), [(LockMemory.AUTO, 8 * MIB), (LockMemory.NO, None), (LockMemory.NO, 8 * MIB)]
)
def test_memory_is_not_locked_where_it_may_not_be(
    kernel: Kernel, lock: LockMemory, limit: int | None
) -> None:
    made = start(lock, limit=limit, serves_swap=True)
    assert not {"lock program", "lock all"} & {*kernel.asked}
    assert not made.is_locking
    now = made.statistics()
    assert (now.is_locked, now.locked_bytes, now.is_io_flusher) == (False, 0, True)


def test_a_limit_is_named_where_it_matters_to_nobody(
    kernel: Kernel, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    start(limit=8 * MIB)
    start(limit=8 * MIB, serves_swap=True)
    start(LockMemory.NO, limit=8 * MIB)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        (
            "INFO",
            "the memory of this daemon is not locked, because it may lock 8 MiB at most (RLIMIT_MEMLOCK)",
        )
    ]


def test_a_flusher_that_the_program_before_was_is_none_without_swap(kernel: Kernel) -> None:
    kernel.is_flusher = True
    assert not start().statistics().is_io_flusher
    assert "no flusher" in kernel.asked


@pytest.mark.parametrize("refused", ["lock program", "lock all"])
def test_a_lock_that_must_be_had_ends_the_start(kernel: Kernel, refused: str) -> None:
    kernel.refused[refused] = OSError(12, "Cannot allocate memory")
    with pytest.raises(LockRefused, match="can't lock the memory of this daemon: cannot allocate"):
        start(LockMemory.YES, serves_swap=True)
    assert kernel.asked[-1] == "unlock"


@pytest.mark.parametrize(
    ("serves_swap", "level"), [(True, "WARNING"), (False, "INFO")], ids=["swap", "no swap"]
)
def test_a_lock_that_is_refused_is_told_and_leaves_nothing_locked(
    kernel: Kernel, caplog: pytest.LogCaptureFixture, serves_swap: bool, level: str
) -> None:
    caplog.set_level(logging.INFO)
    kernel.refused["lock all"] = OSError(12, "Cannot allocate memory")
    made = start(serves_swap=serves_swap)
    assert not made.statistics().is_locked
    assert kernel.locked == 0
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        (level, "can't lock the memory of this daemon: cannot allocate memory")
    ]


def test_what_else_is_refused_is_a_warning_with_what_to_do(
    kernel: Kernel, caplog: pytest.LogCaptureFixture
) -> None:
    denied = OSError(1, "Operation not permitted")
    kernel.refused = {"flusher": denied, "OOM score": OSError(13, "Permission denied")}
    start(serves_swap=True)
    flusher, oom = caplog.messages
    assert flusher == (
        "allocations of this daemon may wait for swap that it serves itself (PR_SET_IO_FLUSHER): operation not"
        " permitted; give it CAP_SYS_RESOURCE, as its unit does"
    )
    assert oom == (
        "the OOM killer may end this daemon, which serves swap: permission denied; set OOMScoreAdjust=-1000, as its"
        " unit does"
    )


def test_a_start_does_without_spare_threads(
    kernel: Kernel, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: int) -> None:
        raise ThreadRefused

    monkeypatch.setattr(daemon_protection, "keep_threads", refuse)
    assert start(serves_swap=True).statistics().is_locked
    assert caplog.messages == [
        "there are no spare threads: no thread can be started; raise TasksMax= in the unit or ulimit -u"
    ]


def test_a_machine_without_proc_is_as_good(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> int:
        raise FileNotFoundError

    monkeypatch.setattr(protection, "locked_bytes", missing)
    assert start().statistics().locked_bytes == 0


def test_the_config_says_what_is_wanted(kernel: Kernel) -> None:
    export = ExportConfig(name="x", size=MIB, swap=True)
    for lock, serves_swap in ((LockMemory.NO, False), (LockMemory.YES, True)):
        daemon = DaemonConfig(
            node="a",
            cluster=Path("c"),
            memory=MemoryConfig(lock=lock),
            export=(export,) if serves_swap else (),
        )
        kernel.asked.clear()
        made = protection_of(daemon, None)
        assert made.is_locking is (lock is LockMemory.YES)
        made.begin()
        assert bool(kernel.asked) is serves_swap
    assert not NO_PROTECTION.statistics().is_locked
