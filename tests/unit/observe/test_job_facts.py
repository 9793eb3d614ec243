"""What of a snapshot is long work, and how far it is."""

from dataclasses import replace
from typing import Any

import pytest

from nodemanager.states import NodeState
from ramsterd.jobs.work import JobKind, JobState, Work
from ramsterd.membership.inquiries import DrainSaid
from ramsterd.observe.job_facts import AWAY, HOME, RISK, Moment, works_of
from ramsterd.pagepath.engine_statistics import EngineStatistics
from tests.helpers.made_statistics import NAME, NODE, made_statistics

ENGINE = made_statistics().engine
SAID = DrainSaid(
    is_reached=True, pages_foreign=700, pages_foreign_max=900, pages_own_elsewhere=5,
    pages_owned=9, clients=1, said_seconds=3.0,
)  # fmt: skip
AT = Moment(wall=10_000.0, uptime_seconds=100.0)


def engine(*, is_local: bool = False, draining: bool = True, **order: Any) -> EngineStatistics:
    """Return one with one node, which drains."""
    [row] = ENGINE.nodes.nodes
    orders = {"drain_number": 7, "drain_began_at": 9990, "drain_deadline_at": 0} | order
    config = replace(row.config, draining=draining, **{"drain_origin": int(NODE), **orders})
    row = replace(row, config=config, is_local=is_local)
    return replace(ENGINE, nodes=replace(ENGINE.nodes, nodes=(row,)))


def drain(found: EngineStatistics, said: DrainSaid = SAID, node: str = "alpha") -> Work:
    [work] = works(found, JobKind.DRAIN, said, node)
    return work


def works(
    found: EngineStatistics, kind: JobKind, said: DrainSaid = SAID, node: str = "alpha"
) -> list[Work]:
    return [each for each in works_of(node, found, {NODE: said}, AT) if each.kind is kind]


def test_of_another_node_is_known_what_it_said_last() -> None:
    work = drain(engine())
    assert (work.left, work.left_max, work.trailing, work.number) == (700, 900, 5, 7)
    assert (work.as_of_seconds, work.trailing_as_of_seconds) == (3.0, 3.0)
    assert (work.node, work.what) == (NAME, f"node {NAME}")
    assert (work.age_seconds, work.is_resumed) == (10, False)
    assert not work.is_ours


def test_of_itself_a_node_counts_what_is_here() -> None:
    found = engine(is_local=True)
    assert drain(found).left == sum(each.pages for each in found.foreign)
    assert drain(found).left_max == 900, "what it has told all others"
    assert (drain(found).as_of_seconds, drain(found).trailing_as_of_seconds) == (0.0, 3.0)
    assert drain(found).is_ours


def test_of_an_earlier_run_of_itself_a_node_does_not_know_how_many_there_were() -> None:
    assert drain(engine(is_local=True, drain_began_at=9000)).left_max is None
    assert drain(engine(drain_began_at=9000)).left_max == 900, "the other node may run since then"


def test_a_node_ends_its_own_drain_when_all_others_have_been_told_so() -> None:
    none_here = replace(engine(is_local=True), foreign=())
    said = replace(SAID, pages_own_elsewhere=0)
    assert drain(none_here, said).is_active, "others have heard of 700 pages"
    assert not drain(none_here, replace(said, pages_foreign=0)).is_active


def test_the_node_where_it_was_ordered_follows_it() -> None:
    work = drain(engine(drain_reason="a new kernel"), node=NAME)
    assert (work.order.by, work.order.reason, work.is_ours) == (NAME, "a new kernel", True)


def test_one_that_began_before_the_daemon_is_resumed() -> None:
    assert drain(engine(drain_began_at=9000)).is_resumed
    assert drain(engine(drain_began_at=0, drain_number=0)).is_resumed
    assert drain(engine(drain_began_at=20_000)).age_seconds == 0, "clocks of nodes differ"


def test_a_deadline_is_counted_down() -> None:
    assert drain(engine(drain_deadline_at=10_060)).seconds_to_deadline == 60
    assert drain(engine()).seconds_to_deadline is None


def test_without_a_link_it_waits_and_nothing_is_known() -> None:
    work = drain(engine(), DrainSaid(is_reached=False))
    assert (work.left, work.trailing, work.is_active) == (None, None, True)
    assert work.waits_for == (
        f"a link to node {NAME}: {NAME} drains as soon as it has one (see `ramsterctl nodes`)"
    )


def test_a_drain_of_a_node_that_is_down_waits_for_it_to_be_back() -> None:
    now = engine()
    rows = tuple(replace(row, state=NodeState.DOWN, is_local=False) for row in now.nodes.nodes)
    work = drain(replace(now, nodes=replace(now.nodes, nodes=rows)), DrainSaid(is_reached=False))
    assert work.waits_for == (
        f"node {NAME}: {NAME} is down, and drains as soon as it is back."
        f" Type on node {NAME}: systemctl start ramsterd"
    )


def test_nothing_left_and_nothing_elsewhere_is_the_end() -> None:
    assert not drain(engine(), replace(SAID, pages_foreign=0, pages_own_elsewhere=0)).is_active


def test_the_end_says_what_stays_and_what_a_stop_ends() -> None:
    stays, ends = drain(engine()).remarks
    assert stays.startswith(f"5 pages of {NAME} itself stay at its peers")
    assert ends.startswith(f"node {NAME} still owns 9 pages (1 client connected)")


def test_what_a_draining_node_gives_back_is_no_recall_of_its_own() -> None:
    away = {
        is_local: next(
            each for each in works(engine(is_local=is_local), JobKind.RECALL) if each.key == AWAY
        )
        for is_local in (False, True)
    }
    assert (away[False].is_active, away[False].left) == (True, ENGINE.holder_recall.recall_pages)
    assert (away[True].is_active, away[True].left) == (False, 0)


def test_a_recall_names_the_nodes_that_want_their_memory_back() -> None:
    [home] = [each for each in works(engine(), JobKind.RECALL) if each.key == HOME]
    assert home.what == f"pages of node alpha at node {NAME}"
    assert home.done_total == ENGINE.owner_recall.recalled_pages_total


def test_pages_at_risk_are_a_rebuild() -> None:
    found = engine()
    has_room = replace(found.rebuild, is_waiting_for_room=False)
    [work] = works(replace(found, rebuild=has_room), JobKind.REBUILD)
    assert (work.key, work.left) == (RISK, ENGINE.rebuild.pages_at_risk)
    assert work.done_total == ENGINE.rebuild.rebuilt_pages_total
    assert (work.is_counting, work.waits_for) == (ENGINE.rebuild.is_counting, "")


def test_a_rebuild_that_waits_for_room_says_so_and_what_to_type() -> None:
    now = engine()
    rebuild = replace(now.rebuild, is_waiting_for_room=True)
    [row] = now.nodes.nodes
    for is_linked in (True, False):
        config = replace(row.config, cordoned=False, draining=False)
        rows = (replace(row, config=config, is_linked=is_linked, state=NodeState.DOWN),)
        found = replace(now, rebuild=rebuild, nodes=replace(now.nodes, nodes=rows))
        [work] = works(found, JobKind.REBUILD)
        assert work.waits_for == work.stall_reason
        assert work.waits_for == (
            "room: no other node has room (see `ramsterctl nodes`). Type `ramsterctl memory set"
            " --budget SIZE` on another node, or add a node"
            if is_linked
            else f"nodes with room: {NAME} has no link to this node."
            f" Type on node {NAME}: systemctl start ramsterd"
        )


@pytest.mark.parametrize(
    ("changes", "is_linked", "state", "expected"),
    [
        (
            {"cordoned": True, "draining": True}, True, NodeState.UP,
            f"more nodes that take pages: {NAME} is draining. Type `ramsterctl node uncordon {NAME}`, or add a node",
        ),
        (
            {"cordoned": True, "draining": False}, False, NodeState.DOWN,
            f"more nodes that take pages: {NAME} is cordoned. Type `ramsterctl node uncordon {NAME}`, or add a node",
        ),
        (
            {"cordoned": False, "draining": False}, False, NodeState.UP,
            f"nodes with room: {NAME} has no link to this node (see `ramsterctl nodes`)",
        ),
    ],
)  # fmt: skip
def test_a_rebuild_waits_for_no_node_that_takes_no_pages(
    changes: dict[str, bool], is_linked: bool, state: NodeState, expected: str
) -> None:
    now = engine()
    [row] = now.nodes.nodes
    row = replace(row, config=replace(row.config, **changes), is_linked=is_linked, state=state)  # type: ignore[arg-type]  # all are flags
    rebuild = replace(now.rebuild, is_waiting_for_room=True)
    found = replace(now, rebuild=rebuild, nodes=replace(now.nodes, nodes=(row,)))
    [work] = works(found, JobKind.REBUILD)
    assert work.waits_for == expected


def verified(*, corrupt: int = 0, problem: str = "", is_cancelled: bool = False) -> list[Work]:
    found = engine()
    scrub = replace(
        found.scrub, is_running=False, scrubs_total=4, corrupt=corrupt, zpages_checked=9,
        is_cancelled=is_cancelled,
    )  # fmt: skip
    audit = replace(
        found.audit, is_running=False, audits_total=2, problem=problem, is_cancelled=is_cancelled
    )
    return works(replace(found, scrub=scrub, audit=audit), JobKind.VERIFY)


def test_a_check_has_its_own_end() -> None:
    pages, tables = verified()
    assert (pages.key, tables.key) == ("pages 4", "tables 2")
    assert pages.ending is not None
    assert tables.ending is not None
    assert (pages.ending.state, pages.ending.did) == (
        JobState.DONE,
        "9 pages checked, 0 damaged",
    )
    assert tables.ending.state is JobState.DONE


def test_damage_and_contradictions_are_failures_also_of_one_that_was_cancelled() -> None:
    for is_cancelled in (False, True):
        pages, tables = verified(corrupt=1, problem="leaf 7", is_cancelled=is_cancelled)
        assert pages.ending is not None
        assert tables.ending is not None
        assert pages.ending.state is tables.ending.state is JobState.FAILED
        assert tables.ending.why == "tables contradict each other (leaf 7)"


def test_one_that_was_cancelled_says_so() -> None:
    assert [each.ending and each.ending.state for each in verified(is_cancelled=True)] == [
        JobState.CANCELLED,
        JobState.CANCELLED,
    ]


def test_before_the_first_check_there_is_none() -> None:
    found = engine()
    none = replace(
        found,
        scrub=replace(found.scrub, scrubs_total=0),
        audit=replace(found.audit, audits_total=0),
    )
    assert works(none, JobKind.VERIFY) == []
