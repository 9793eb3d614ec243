"""What the documentation shows is run, against a real daemon."""

import contextlib
import os
import random
import re
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from docs.examples import result_cache
from docs.examples.block_cache import BlockCache, runs
from docs.examples.result_cache import ResultCache
from ramsterd.client import PAGE_BYTES, Client, PoolKind
from tests.system.tmem_daemons import DaemonProcess, free_ports, tmem_cluster

pytestmark = [pytest.mark.system, pytest.mark.slow]

TMEM = Path(__file__).parents[2] / "docs" / "tmem.md"
BLOCKS = re.findall(r"```python\n(.*?)```", TMEM.read_text(), re.DOTALL)
# The first two follow each other at the daemon of the two files before them; the others stand alone.
FIVE_MINUTES, OTHERS = BLOCKS[:2], BLOCKS[2:]
FILES = re.findall(r"```toml\n# (\S+)\n(.*?)```", TMEM.read_text(), re.DOTALL)


@pytest.fixture
def daemon() -> Iterator[DaemonProcess]:
    with (
        tempfile.TemporaryDirectory(prefix="tm") as folder,
        tmem_cluster(Path(folder)) as (daemon,),
    ):
        yield daemon


def run(block: str, shown: str, socket: Path) -> None:
    code = block.replace(shown, str(socket))
    assert code != block
    exec(compile(code, TMEM.name, "exec"), {"__name__": "shown"})  # noqa: S102  our own documentation


@pytest.mark.parametrize("block", OTHERS, ids=["Client", "AsyncClient", "ResultCache"])
def test_the_code_in_tmem_md_runs(block: str, daemon: DaemonProcess) -> None:
    run(block, "/run/ramster/tmem.sock", daemon.tmem)


def test_the_five_minutes_lead_to_what_they_promise() -> None:
    """The two files, word for word but for the port, in a folder of their own, and the two programs."""
    with tempfile.TemporaryDirectory(prefix="tm") as name:
        folder = Path(name)
        assert [each for each, _ in FILES] == ["cluster.toml", "ramsterd.toml"]
        for each, text in FILES:
            (folder / each).write_text(text)
        with (folder / "cluster.toml").open("a") as cluster:
            cluster.write(f"port = {free_ports(1)[0]}\n")
        shown = DaemonProcess(folder, "ramsterd")
        shown.control, shown.tmem = folder / "control.sock", folder / "tmem.sock"
        try:
            shown.start()
            for block in FIVE_MINUTES:
                run(block, "tmem.sock", shown.tmem)
            (pool,) = shown.ask("pools")
            assert (pool["name"], pool["kind"], pool["pages"]) == ("greetings", "ephemeral", 1)
            assert shown.process is not None
            shown.process.send_signal(signal.SIGINT)
            assert shown.process.wait(20) == 0
        finally:
            shown.stop(signal.SIGKILL)


def test_the_block_cache_reads_what_is_in_the_file(daemon: DaemonProcess, tmp_path: Path) -> None:
    rng = random.Random(1)
    content = rng.randbytes(50 * PAGE_BYTES + 123)
    path = tmp_path / "file"
    path.write_bytes(content)
    cache = BlockCache(daemon.tmem)
    with path.open("rb") as file:
        for _ in range(200):
            offset, length = rng.randrange(len(content) + 10), rng.randrange(5 * PAGE_BYTES)
            expected = content[offset : offset + length]
            assert cache.read(file, offset=offset, length=length) == expected
    assert cache.misses <= 51
    assert cache.hits > 100
    cache.close()


def test_another_program_finds_the_cache_warm_unless_the_file_has_changed(
    daemon: DaemonProcess, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old" * PAGE_BYTES)
    for expected_hits in (0, 3):
        cache = BlockCache(daemon.tmem)
        with path.open("rb") as file:
            assert cache.read(file, offset=0, length=1 << 20) == b"old" * PAGE_BYTES
        assert cache.hits == expected_hits
        cache.close()
    path.write_bytes(b"new" * PAGE_BYTES)
    os.utime(path, ns=(1, 1))
    cache = BlockCache(daemon.tmem)
    with path.open("rb") as file:
        assert cache.read(file, offset=0, length=1 << 20) == b"new" * PAGE_BYTES
    assert cache.hits == 0
    cache.close()


def test_the_block_cache_goes_on_when_the_daemon_dies(
    daemon: DaemonProcess, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc" * PAGE_BYTES)
    cache = BlockCache(daemon.tmem)
    with path.open("rb") as file:
        assert cache.read(file, offset=1, length=3) == b"bca"
        daemon.stop(9)
        for _ in range(2):
            assert cache.read(file, offset=1, length=3) == b"bca"
    assert cache.misses == 3


class Program:
    """A program that remembers what it computed; `computed` says how often it had to."""

    def __init__(
        self, daemon: DaemonProcess, *, version: int = 0, seconds_max: float = 1e9, size: int = 10
    ) -> None:
        self.cache = ResultCache(daemon.tmem)
        self.computed: list[int] = []

        @self.cache.remember(version=version, seconds_max=seconds_max)
        def draw(seed: int, *, size: int = size) -> bytes:
            self.computed.append(seed)
            return random.Random(seed).randbytes(size)

        self.draw = draw


@pytest.fixture
def start(daemon: DaemonProcess) -> Iterator[Callable[..., Program]]:
    """Start programs, and end them all."""
    with contextlib.ExitStack() as stack:

        def start(**options: float) -> Program:
            program = Program(daemon, **options)  # type: ignore[arg-type]
            stack.callback(program.cache.close)
            return program

        yield start


@pytest.mark.parametrize("size", [0, 10, PAGE_BYTES, 3_000_000])
def test_another_program_need_not_compute_what_one_did(
    start: Callable[..., Program], size: int
) -> None:
    first, second = start(), start()
    expected = random.Random(5).randbytes(size)
    assert first.draw(5, size=size) == second.draw(5, size=size) == expected
    assert (first.computed, second.computed) == ([5], [])
    assert (second.cache.hits, second.cache.misses) == (1, 0)
    assert second.draw(6, size=size) != expected or not size
    second.draw.forget(5, size=size)
    assert first.draw(5, size=size) == expected
    assert (first.computed, second.computed) == ([5, 5], [6])


def test_another_version_and_an_old_result_are_computed_anew(
    start: Callable[..., Program], monkeypatch: pytest.MonkeyPatch
) -> None:
    start().draw(5)
    other, fresh = start(version=1), start(seconds_max=60)
    other.draw(5)
    fresh.draw(5)
    assert (other.computed, fresh.computed) == ([5], [])
    then = result_cache.now()
    for age, count in ((59, 0), (3600, 1), (-3600, 2)):  # the last: a clock that was set back
        monkeypatch.setattr(result_cache, "now", lambda age=age: then + age)
        fresh.draw(5)
        assert len(fresh.computed) == count


def test_a_result_of_which_a_page_vanished_or_is_another_s_is_computed_anew(
    daemon: DaemonProcess, start: Callable[..., Program]
) -> None:
    expected = random.Random(5).randbytes(50_000)
    with Client(daemon.tmem) as client:
        pool = client.new_pool(PoolKind.EPHEMERAL, name="result-cache")
        key = start().draw._key(5)
        damages: list[Callable[[], int]] = [
            lambda: pool.flush(key, 7),
            lambda: pool.flush(key, 0),
            lambda: pool.put(key, 7, b"x" * PAGE_BYTES),
            lambda: pool.put(key, 0, b"\xff" * PAGE_BYTES),
            lambda: pool.put(key, 0, bytes(PAGE_BYTES)),
        ]
        for damage in damages:
            program = start(size=50_000)
            for _ in range(2):
                assert program.draw(5) == expected
            before = len(program.computed)
            damage()
            assert program.draw(5) == expected
            assert len(program.computed) == before + 1


def test_results_are_computed_without_a_daemon_and_kept_again_when_there_is_one(
    daemon: DaemonProcess, start: Callable[..., Program], monkeypatch: pytest.MonkeyPatch
) -> None:
    program = start()
    program.draw(5)
    daemon.stop(signal.SIGKILL)
    assert program.draw(5) == program.draw(5)
    assert program.computed == [5, 5, 5]
    daemon.control.unlink()
    daemon.start()
    monkeypatch.setattr(program.cache._pool, "_retry_at", 0.0)
    program.draw(5)
    program.draw(5)
    assert program.computed == [5, 5, 5, 5]


def test_runs_are_cut_where_numbers_are_missing() -> None:
    assert list(runs([])) == []
    assert list(runs([0, 1, 2, 5, 7, 8])) == [(0, 3), (5, 6), (7, 9)]
