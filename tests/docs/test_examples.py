"""What the documentation shows is run, against a real daemon."""

import os
import random
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs.examples.block_cache import BlockCache, runs
from ramsterd.client import PAGE_BYTES
from tests.system.tmem_daemons import DaemonProcess, tmem_cluster

pytestmark = [pytest.mark.system, pytest.mark.slow]

TMEM = Path(__file__).parents[2] / "docs" / "tmem.md"
BLOCKS = re.findall(r"```python\n(.*?)```", TMEM.read_text(), re.DOTALL)


@pytest.fixture
def daemon() -> Iterator[DaemonProcess]:
    with (
        tempfile.TemporaryDirectory(prefix="tm") as folder,
        tmem_cluster(Path(folder)) as (daemon,),
    ):
        yield daemon


@pytest.mark.parametrize("block", BLOCKS, ids=["Client", "AsyncClient"])
def test_the_code_in_tmem_md_runs(block: str, daemon: DaemonProcess) -> None:
    code = block.replace("/run/ramster/tmem.sock", str(daemon.tmem))
    assert code != block
    exec(compile(code, TMEM.name, "exec"), {})  # noqa: S102  our own documentation


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


def test_runs_are_cut_where_numbers_are_missing() -> None:
    assert list(runs([])) == []
    assert list(runs([0, 1, 2, 5, 7, 8])) == [(0, 3), (5, 6), (7, 9)]
