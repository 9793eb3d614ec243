"""A benchmark in the daemon: real engines and links, in virtual time, in which a local page takes none."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from config.limits import BUDGET_BYTES_MIN, PAGE_BYTES
from ramsterd.admin.bench import BYTES_MIN, FAULT, POLL_SECONDS_MAX, Bench, no_room
from ramsterd.admin.socket import CommandRefused
from tests.helpers.sim_nodes import SimNode, eventually, noise, run_nodes

MIB = 1 << 20
# Or all would happen at one moment of virtual time.
LATENCY_SECONDS = 0.001
BUDGET = 8 * BUDGET_BYTES_MIN
ORDER: dict[str, object] = {"ratio": 0.5, "seconds": 0.4, "bytes": MIB}


class Clock:
    """Moves with each look at it: in virtual time a loop that waits for nobody would never end."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        self.ahead += 0.001
        return trio.current_time() + self.ahead


@asynccontextmanager
async def measuring(*budgets: int) -> AsyncIterator[tuple[Bench, list[SimNode]]]:
    async with run_nodes(*budgets) as nodes:
        node = nodes[0]
        for connection in node.net.streams.connections:
            connection.there.delay_seconds = connection.back.delay_seconds = LATENCY_SECONDS
        bench = Bench(node.engine, node.pager, rng=random.Random(1), local="n1", clock=Clock())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bench.run)
            yield bench, nodes
            nursery.cancel_scope.cancel()


async def finished(bench: Bench) -> list[dict[str, Any]]:
    found: Any = bench.look({})
    while found["is_running"]:
        await trio.sleep(0.1)
        found = bench.look({})
    rows: list[dict[str, Any]] = found["rows"]
    return rows


async def test_here_and_each_peer_are_measured_and_nothing_stays(
    autojump_clock: MockClock,
) -> None:
    async with measuring(BUDGET, BUDGET, BUDGET) as (bench, nodes):
        for index in range(16):
            nodes[0].put(index, noise(index))
        before = nodes[0].engine.store.statistics()
        begun = bench.begin(ORDER)
        assert begun == {"number": 1, "node": "n1", "peers": ["n2", "n3"], "bytes": MIB}
        rows = await finished(bench)
        assert [(row["target"], row["kind"], row["operation"]) for row in rows] == [
            ("n1", "local", "write"), ("n1", "local", "read"),
            ("n2", "peer", "write"), ("n2", "peer", "read"),
            ("n3", "peer", "write"), ("n3", "peer", "read"),
        ]  # fmt: skip
        for row in rows:
            assert row["problem"] == ""
            assert row["operations"] > 10
            assert row["pages_per_second"] > row["operations"]
            assert 0 < row["p50_seconds"] <= row["p99_seconds"] <= row["max_seconds"]
        await eventually(lambda: not any(node.pages_here() for node in nodes))
        await trio.sleep(1)
        after = nodes[0].engine.store.statistics()
        assert after.zpages == before.zpages
        assert nodes[0].get(0) == [noise(0)]
        assert len(list(nodes[0].engine.store.pools)) == 1
        assert not nodes[0].engine.machines.bench._under_way


async def test_a_fault_ends_the_benchmark_and_not_the_daemon(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with measuring(BUDGET) as (bench, nodes):
        with monkeypatch.context() as patched:
            patched.setattr(nodes[0].pager, "new_pool", lambda *_: 1 / 0)
            bench.begin(ORDER)
            assert await finished(bench) == []
        assert FAULT in caplog.text
        bench.begin(ORDER)
        assert [row["problem"] for row in await finished(bench)] == ["", ""]


async def test_without_a_size_an_eighth_of_a_small_budget_is_taken(
    autojump_clock: MockClock,
) -> None:
    async with measuring(BUDGET_BYTES_MIN) as (bench, _):
        begun: Any = bench.begin({**ORDER, "bytes": None})
        assert begun["bytes"] == BUDGET_BYTES_MIN // 8
        rows = await finished(bench)
        assert {row["problem"] for row in rows} == {""}


async def test_one_runs_at_a_time(autojump_clock: MockClock) -> None:
    async with measuring(BUDGET) as (bench, _):
        bench.begin(ORDER)
        with pytest.raises(CommandRefused, match="a benchmark runs"):
            bench.begin(ORDER)
        assert len(await finished(bench)) == 2
        bench.begin(ORDER)
        await finished(bench)


async def test_an_order_ends_it_and_nothing_stays(autojump_clock: MockClock) -> None:
    async with measuring(BUDGET, BUDGET) as (bench, nodes):
        bench.begin({**ORDER, "seconds": 4.0})
        await eventually(nodes[1].pages_here, seconds_max=60)
        bench.end({})
        await eventually(lambda: not any(node.pages_here() for node in nodes))
        found: Any = bench.look({})
        assert not found["is_running"]
        assert bench.end({}) == {"is_running": False}


async def test_it_ends_when_nobody_asks_how_far_it_is(autojump_clock: MockClock) -> None:
    async with measuring(BUDGET) as (bench, _):
        bench.begin({**ORDER, "seconds": 60.0})
        # No clock of this test: it moves by looks, of which a minute has very many.
        bench._polled_at -= POLL_SECONDS_MAX + 1
        await eventually(lambda: bench._order is None)


async def test_a_peer_without_room_is_named_and_the_others_are_measured(
    autojump_clock: MockClock,
) -> None:
    async with measuring(4 * BUDGET, BUDGET_BYTES_MIN, 4 * BUDGET) as (bench, _):
        bench.begin({**ORDER, "bytes": 2 * MIB})
        rows = await finished(bench)
        problems = {row["target"]: row["problem"] for row in rows}
        assert problems == {"n1": "", "n2": "nearly full: repeat with fewer --bytes", "n3": ""}
        assert [row["p50_seconds"] for row in rows if row["target"] == "n2"] == [None, None]


async def test_a_peer_that_is_lost_on_the_way_is_told(autojump_clock: MockClock) -> None:
    async with measuring(BUDGET, BUDGET) as (bench, nodes):
        bench.begin(ORDER)
        await eventually(nodes[1].pages_here, seconds_max=60)
        nodes[0].net.streams.connections[-1].cut()
        rows = await finished(bench)
        problems = {row["problem"] for row in rows if row["target"] == "n2"}
        assert "no answer: the link was lost, or the peer is too slow" in problems


async def test_a_node_that_is_nearly_full_is_not_measured(autojump_clock: MockClock) -> None:
    async with measuring(BUDGET) as (bench, [node]):
        node.put_until_full()
        with pytest.raises(CommandRefused, match="this node is nearly full"):
            bench.begin(ORDER)


@pytest.mark.parametrize(
    ("free", "words"),
    [
        (-1, "less than the 256 KiB of the smallest benchmark are free below low_watermark."),
        (BYTES_MIN - 1, "less than the 256 KiB of the smallest benchmark are free"),
        (BYTES_MIN, "256 KiB are free below low_watermark, and the benchmark wants 1.5 MiB."),
        (4 * BYTES_MIN + 1, "Repeat it with --bytes 1MiB, or when there is room"),
    ],
)
def test_a_refusal_for_want_of_room_says_sizes_that_there_are(free: int, words: str) -> None:
    refusal = no_room(free, 3 * MIB // 2)
    assert words in refusal
    assert "0B" not in refusal


@pytest.mark.parametrize(
    ("key", "value", "refusal"),
    [
        ("ratio", 0.0, "ratio: found 0.0, expected 0.05 to 1"),
        ("ratio", None, "ratio: found None"),
        ("seconds", 61, "seconds: found 61, expected 0.1 to 60"),
        ("seconds", True, "seconds: found true"),
        ("bytes", BYTES_MIN - PAGE_BYTES, "bytes: found 258048, expected at least 256KiB"),
        ("bytes", 4 * MIB, "expected at most 2MiB (an eighth of the budget here is 2MiB)"),
        ("bytes", MIB + 1, "a multiple of 4096 bytes"),
        ("bytes", "1MiB", "a whole number of bytes"),
    ],
)
async def test_a_wrong_value_is_refused(
    autojump_clock: MockClock, key: str, value: object, refusal: str
) -> None:
    async with measuring(BUDGET) as (bench, _):
        with pytest.raises(CommandRefused) as caught:
            bench.begin({**ORDER, key: value})
        assert refusal in str(caught.value)
        assert bench._order is None
