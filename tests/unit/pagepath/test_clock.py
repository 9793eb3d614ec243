"""What time does: house, STATUS, and one slice of long work in a pass."""

import itertools
from collections.abc import Iterator
from dataclasses import replace

import pytest

from nodemanager.placement import Candidate
from ramsterd.core.page import PoolKind
from ramsterd.host.slack import slack_of
from ramsterd.pagepath.clock import STATUS_SECONDS
from ramsterd.pagepath.effects import Resized
from ramsterd.pagepath.own_status import FOLLOW_SECONDS, REPEAT_SECONDS, REPEAT_SECONDS_MAX
from ramsterd.remote import wire
from ramsterd.remote.wire import MessageType
from tests.helpers.clusters import cluster_of
from tests.helpers.dropping import drop_run
from tests.helpers.made_engine import INCARNATION, OBJECT, ONE, MadeEngine, sends


@pytest.fixture
def made() -> Iterator[MadeEngine]:
    made = MadeEngine()
    made.link(ONE)
    made.wait(1.0)
    yield made
    made.engine.check_invariants()


def test_peers_that_are_linked_hear_how_we_are_twice_a_second_while_that_changes(
    made: MadeEngine,
) -> None:
    statuses = []
    for index in range(10):
        made.put(16, index=16 * index)
        statuses += sends(made.wait(STATUS_SECONDS), MessageType.STATUS)
    assert len(statuses) == 10
    assert {each.node for each in statuses} == {ONE}
    assert len(sends(made.wait(12 * STATUS_SECONDS), MessageType.STATUS)) == 4, "as before"


def test_a_peer_that_asked_for_something_hears_how_we_are(made: MadeEngine) -> None:
    statuses = []
    for _ in range(6):
        made.frame(ONE, MessageType.FLUSH_PAGES, 1, wire.flush_table([(1, 2)]))
        statuses += sends(made.wait(STATUS_SECONDS), MessageType.STATUS)
    assert len(statuses) == 6


@pytest.mark.parametrize("is_eager", [False, True])
def test_an_older_peer_hears_how_we_are_at_each_tick(made: MadeEngine, is_eager: bool) -> None:
    """It takes that for a sign of life."""
    made.engine.on_link_up(ONE, INCARNATION, is_eager=is_eager, now=made.now)
    made.wait(STATUS_SECONDS)
    statuses = sends(made.wait(6 * STATUS_SECONDS), MessageType.STATUS)
    assert len(statuses) == (6 if is_eager else 2)


def test_a_starved_node_says_that_it_takes_nothing(made: MadeEngine) -> None:
    assert made.engine.statistics().is_accepting
    made.engine.on_starved(is_starved=True)
    assert not made.engine.statistics().is_accepting
    made.engine.on_starved(is_starved=False)
    assert made.engine.statistics().is_accepting


def test_a_change_of_members_is_followed_by_a_status_at_once(made: MadeEngine) -> None:
    made.engine.on_members(cluster_of(3), now=made.now)
    assert sends(made.wait(0.0), MessageType.STATUS)


def test_a_node_that_drains_recalls_what_it_keeps(made: MadeEngine) -> None:
    cluster = cluster_of(3)
    ours = replace(cluster.node[0], draining=True)
    made.engine.on_members(replace(cluster, node=(ours, *cluster.node[1:])), now=made.now)
    (recall,) = sends(made.wait(0.0), MessageType.RECALL)
    assert recall.node == ONE
    assert made.engine.statistics().holder_recall.is_active


def test_the_end_of_a_change_of_the_budget_is_told(made: MadeEngine) -> None:
    made.put(16)
    made.engine.set_budget(1 << 20, now=made.now)
    assert [each for each in made.settle() if isinstance(each, Resized)]


def test_the_next_deadline_is_never_later_than_the_next_status(made: MadeEngine) -> None:
    made.put(300)
    for _ in range(20):
        assert made.engine.next_deadline() <= made.now + STATUS_SECONDS
        made.wait(0.1)


def test_a_tick_has_slack_and_a_change_that_peers_should_know_has_none(made: MadeEngine) -> None:
    made.wait(4 * STATUS_SECONDS)
    last = made.engine.last_deadline() - made.engine.next_deadline()
    assert 0 < last <= slack_of(STATUS_SECONDS)
    made.engine.on_members(cluster_of(3), now=made.now)
    assert made.engine.last_deadline() == made.now


def test_however_late_a_tick_is_peers_are_told_again_in_time(made: MadeEngine) -> None:
    told_at = [made.now]
    while made.now < 20.0:
        if sends(made.wait(made.engine.last_deadline() - made.now), MessageType.STATUS):
            told_at.append(made.now)
    apart = [after - before for before, after in itertools.pairwise(told_at[2:])]
    assert min(apart) >= REPEAT_SECONDS
    assert max(apart) <= REPEAT_SECONDS_MAX + 1e-9


def test_a_peer_that_repeats_its_own_is_told_again_too(made: MadeEngine) -> None:
    told = []
    for seconds in (FOLLOW_SECONDS, FOLLOW_SECONDS / 2, FOLLOW_SECONDS / 2):
        made.now += seconds
        told.append(len(sends(made.hear(ONE), MessageType.STATUS)))
    assert told == [1, 0, 1]
    made.now += FOLLOW_SECONDS
    assert not sends(made.hear(ONE, free_bytes=1), MessageType.STATUS), "that is news"


def test_no_zpage_moves_while_a_client_waits_for_copies(made: MadeEngine) -> None:
    """It waits for blocks: a page that left its block would not be waited for."""
    made.put(64)
    for index in range(0, 64, 2):
        drop_run(made.engine.store, made.disk, OBJECT, index, 1)
    compactor = made.engine.machines.compactor
    assert made.engine.replicate(made.disk, OBJECT, 0, 64, now=made.now) is not None
    puts = sends(made.wait(2.0), MessageType.PUT_PAGES)
    assert compactor.moved_total == 0
    for put in puts:
        made.answer_put(put)
    made.wait(2.0)
    assert compactor.moved_total > 0


def test_a_tick_looks_at_the_peers_once(made: MadeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is known of each is put together: among 24 nodes at rest that was a sixth of what each did."""
    candidates = made.engine.machines.remotifier.candidates
    looks = []
    look = candidates.all

    def counted(kind: PoolKind) -> list[Candidate]:
        looks.append(kind)
        return look(kind)

    monkeypatch.setattr(candidates, "all", counted)
    made.wait(10 * STATUS_SECONDS)
    assert looks == [PoolKind.PERSISTENT] * 10
