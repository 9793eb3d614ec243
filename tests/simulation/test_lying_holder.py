"""Holders that lie end no daemon, and lose few pages before they get none."""

import random

import pytest
from trio.testing import MockClock

from config.model import RemoteConfig
from nodemanager.ids import NodeId
from ramsterd.remote.holders import holders, row_sweeps
from ramsterd.remote.holders.trust import (
    CREDIT_PAGES_FIRST,
    CREDIT_PAGES_MIN,
    BadCopy,
    TrustStatistics,
)
from ramsterd.remote.wire import PAGES_PER_FRAME_MAX
from tests.simulation.checkers import check_invariants
from tests.simulation.checking_clients import Client, stage
from tests.simulation.cluster import MIB, Cluster
from tests.simulation.liars import LIES, Liar

PAGES = 4800
LIAR = 1
# Of all that is given to one that keeps nothing: the first credit, and one more after each backoff.
SECONDS = 30
BACKOFFS = 4  # they end after 1, 3, 7 and 15 s, and the next after 31
LOST_MAX = (
    CREDIT_PAGES_FIRST + BACKOFFS * CREDIT_PAGES_MIN + (1 + BACKOFFS) * (PAGES_PER_FRAME_MAX - 1)
)


def with_a_liar(
    seed: int, clock: MockClock, *lies: str, nodes: int = 3, copies: int = 1
) -> tuple[Cluster, Client, Liar]:
    """Return a cluster whose node 1 has most of the memory, and tells these lies."""
    budgets: dict[int, dict[str, float]] = {
        n: {"budget": (32 if n == LIAR else 16) * MIB} for n in range(1, nodes)
    }
    cluster, client = stage(seed, clock, nodes=nodes, knobs=budgets, copies=copies)
    cluster.checks.clear()  # what rows name is not where they say
    liar = Liar(cluster[LIAR], random.Random(seed))
    for lie in lies:
        getattr(liar, lie)()
    return cluster, client, liar


def write_all(client: Client, seconds: float, *, reads: bool, pause: float = 0.05) -> None:
    """Write pages over and over for so long, and read some; any page may be lost, and none is wrong."""
    cluster = client.cluster
    end_at, index = cluster.now + seconds, 0
    while cluster.now < end_at:
        client.wait_put(client.put(index, 16))
        if reads:
            client.expect_loss(set(client.possible))
            client.wait(client.get(cluster.rng.randrange(PAGES)))
        cluster.run(pause)
        index = (index + 16) % PAGES
    check_invariants(cluster)


def trust(cluster: Cluster) -> TrustStatistics:
    return cluster[0].engine.statistics().trust[NodeId(LIAR)]


@pytest.mark.parametrize("reads", [False, True])
@pytest.mark.parametrize("lie", ["keeps_nothing", "loses", "damages", "holds_nothing"])
async def test_a_holder_that_keeps_nothing_gets_few_pages(
    seed: int, mock_clock: MockClock, lie: str, reads: bool
) -> None:
    """Whether or not anybody reads: its credit ends what it gets at first, the backoff what it gets later."""
    cluster, client, _ = with_a_liar(seed, mock_clock, lie)
    write_all(client, SECONDS, reads=reads)
    stored = cluster[0].engine.statistics().remotify.node_stored_pages_total
    assert 0 < stored[NodeId(LIAR)] <= LOST_MAX
    assert stored[NodeId(2)] > LOST_MAX, "the other one got more"
    now = trust(cluster)
    assert sum(now.bad_copies_total.values()) > 0
    assert cluster[0].engine.statistics().store.lost_pages_total <= LOST_MAX


async def test_an_honest_holder_is_never_distrusted(seed: int, mock_clock: MockClock) -> None:
    """It is checked, its credit grows, and it gets as much as it has room for."""
    cluster, client, _ = with_a_liar(seed, mock_clock)
    write_all(client, SECONDS, reads=False)
    now = trust(cluster)
    assert not any(now.bad_copies_total.values())
    assert now.credit_pages > CREDIT_PAGES_FIRST
    assert cluster[0].engine.statistics().judged_spot_checks_total > 0


async def test_a_holder_that_repents_gets_pages_again(seed: int, mock_clock: MockClock) -> None:
    cluster, client, liar = with_a_liar(seed, mock_clock, "loses")
    write_all(client, 10, reads=True)
    liar.repents()
    before = trust(cluster)
    assert before.credit_pages == CREDIT_PAGES_MIN
    write_all(client, SECONDS, reads=False)
    assert trust(cluster).credit_pages > CREDIT_PAGES_FIRST
    assert trust(cluster).distrusted_seconds == 0


async def test_with_two_copies_one_liar_loses_nothing(seed: int, mock_clock: MockClock) -> None:
    """Whatever it does, and however it changes: each page has another copy."""
    cluster, client, liar = with_a_liar(seed, mock_clock, nodes=4, copies=2)
    rng = random.Random(seed)
    for _ in range(6):
        liar.repents()
        for lie in rng.sample(LIES, 2):
            getattr(liar, lie)()
        write_all(client, 3, reads=False)
        client.read_all()
    assert cluster[0].engine.statistics().store.lost_pages_total == 0


async def test_a_holder_that_says_it_holds_nothing_never_ends_the_owner(
    seed: int, mock_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each such STATUS ends an incarnation, whose id lives on until its sweep is over: meanwhile it gets no pages."""
    monkeypatch.setattr(holders, "INCARNATIONS_MAX", 3)
    cluster, client, _ = with_a_liar(seed, mock_clock, "keeps_nothing", "holds_nothing")
    monkeypatch.setattr(row_sweeps, "SWEEP_SECONDS", 1e6)
    write_all(client, 20, reads=True)
    now = cluster[0].engine.statistics()
    assert len(now.remote) <= 3
    assert (
        now.remotify.node_stored_pages_total[NodeId(LIAR)]
        <= CREDIT_PAGES_FIRST + PAGES_PER_FRAME_MAX
    )
    monkeypatch.setattr(row_sweeps, "SWEEP_SECONDS", 0.02)
    cluster[0].engine.machines.sweeps._step_at = cluster.now
    write_all(client, 20, reads=True)
    assert trust(cluster).bad_copies_total[BadCopy.DISOWNED] > 0


async def test_a_node_whose_ids_are_used_up_gets_no_pages_until_a_sweep_frees_one(
    seed: int, mock_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that starts again and again, faster than sweeps go."""
    monkeypatch.setattr(holders, "INCARNATIONS_MAX", 3)
    cluster, client = stage(seed, mock_clock, knobs={1: {"budget": 16 * MIB}})
    monkeypatch.setattr(row_sweeps, "SWEEP_SECONDS", 1e6)
    for _ in range(4):
        fill(client)
        client.expect_loss(set(client.possible))
        cluster.restart(1)
        cluster.run(1)
        cluster.link_all()
        assert cluster.is_linked(0, 1)
    now = cluster[0].engine.statistics()
    assert len(now.remote) == 3
    assert all(each.is_dead for each in now.remote)
    fill(client)
    assert not cluster[1].engine.statistics().foreign_zpage_bytes
    monkeypatch.setattr(row_sweeps, "SWEEP_SECONDS", 0.02)
    cluster[0].engine.machines.sweeps._step_at = cluster.now
    cluster.run(10)
    assert not any(each.is_dead for each in cluster[0].engine.statistics().remote)
    fill(client)
    assert cluster[1].engine.statistics().foreign_zpage_bytes


def fill(client: Client) -> None:
    """Write more than there is room for here."""
    for index in range(0, 1600, 16):
        client.put(index, 16)
    client.cluster.run(6)


async def test_a_holder_that_answers_nothing_is_owed_few_flushes(
    seed: int, mock_clock: MockClock
) -> None:
    """It tells its STATUS, so it is linked and up; what it was sent it may have, so it is owed a flush that nothing proves."""
    cluster, client, liar = with_a_liar(seed, mock_clock)
    liar.answers_nothing()
    # Each time that it is tried again, more waits to be sent than it is sent.
    write_all(client, 120, reads=False, pause=0.25)
    unknown = cluster[0].engine.statistics().remotify.unknown_pages_total
    window = RemoteConfig().puts_in_flight_max * PAGES_PER_FRAME_MAX
    assert unknown <= 7 * window, "1, 2, 4 ... 32 s, and the first"
    liar.repents()
    cluster.run(120)
    write_all(client, 30, reads=False)
    assert cluster[0].engine.statistics().remotify.node_stored_pages_total[NodeId(LIAR)] > 0
