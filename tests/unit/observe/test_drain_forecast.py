"""What a dry run of a drain says: pages, room, risks."""

from dataclasses import replace
from typing import Any

from config.limits import PAGE_BYTES
from nodemanager.ids import NodeId
from nodemanager.states import NodeState
from nodemanager.table import NodeRow, PeerStatus
from ramsterd.membership.inquiries import DrainSaid
from ramsterd.observe.drain_forecast import DrainForecast, forecast
from tests.helpers.made_statistics import made_statistics

MADE = made_statistics()
MIB = 1 << 20
SAID = DrainSaid(is_reached=True, pages_foreign=512, pages_own_elsewhere=0, pages_owned=0)
[ROW] = MADE.engine.nodes.nodes


def row(number: int, *, is_local: bool = False, free: int = 4 * MIB, **changes: Any) -> NodeRow:
    status = PeerStatus(
        free_bytes=free, budget_bytes=8 * MIB, is_accepting=free > 0, pressure=0.125,
        pages_held_for_us=1,
    )  # fmt: skip
    config = replace(
        ROW.config, number=number, name=f"n{number}", cordoned=changes.pop("cordoned", False),
        draining=changes.pop("draining", False),
    )  # fmt: skip
    well: dict[str, Any] = {"state": NodeState.UP, "is_linked": True, "status": status}
    return replace(ROW, config=config, is_local=is_local, **(well | changes))


def plan(
    *rows: NodeRow,
    node: str = "n2",
    said: DrainSaid = SAID,
    at_risk: int = 0,
    copies_after: int = 2,
) -> DrainForecast:
    """Return what node n1 says of a drain."""
    engine = MADE.engine
    quiet = replace(
        engine,
        nodes=replace(engine.nodes, nodes=rows),
        rebuild=replace(engine.rebuild, pages_at_risk=at_risk, is_counting=False),
        remote=tuple(replace(each, node=NodeId(2), pages=30) for each in engine.remote),
        foreign=tuple(replace(each, node=NodeId(2), pages=20) for each in engine.foreign),
        foreign_zpage_bytes=MIB,
        default_copies=2,
        store=replace(engine.store, copies_wanted=2),
        foreign_room_bytes=MIB,
    )
    return forecast(
        replace(MADE, node="n1", engine=quiet),
        node,
        said,
        ["fewer copies"],
        copies_after=copies_after,
    )


def test_room_is_what_others_take_and_what_is_free_here() -> None:
    found = plan(row(1, is_local=True), row(2), row(3))
    assert {each.node: each.free_bytes for each in found.rooms} == {"n1": MIB, "n3": 4 * MIB}
    assert (found.room_bytes, found.has_room) == (5 * MIB, True)
    assert found.risks == ("fewer copies",)


def test_the_bytes_of_another_node_are_bounded_by_what_it_uses() -> None:
    assert plan(row(1, is_local=True), row(2), row(3)).bytes_max == MIB, "an eighth of its budget"
    few = replace(SAID, pages_foreign=3)
    assert plan(row(1, is_local=True), row(2), said=few).bytes_max == 3 * PAGE_BYTES


def test_a_status_from_before_its_pages_came_is_no_bound() -> None:
    fresh = row(2)
    assert fresh.status is not None
    found = plan(row(1, is_local=True), replace(fresh, status=replace(fresh.status, pressure=0.0)))
    assert found.bytes_max == 512 * PAGE_BYTES


def test_of_itself_a_node_knows_whose_pages_they_are() -> None:
    found = plan(row(1, is_local=True), row(2), node="n1")
    assert [(each.node, each.pages) for each in found.owners] == [("n2", 20)]
    assert found.bytes_max == MIB
    of_other = plan(row(1, is_local=True), row(2))
    assert [(each.node, each.pages) for each in of_other.owners] == [("n1", 30)]


def test_each_node_without_room_says_why() -> None:
    found = plan(
        row(1, is_local=True),
        row(2),
        row(3, cordoned=True),
        row(4, draining=True),
        row(5, state=NodeState.DOWN),
        row(6, is_linked=False),
        row(7, free=0),
    )
    assert {each.node: each.why for each in found.rooms} == {
        "n1": "", "n3": "it is cordoned", "n4": "it drains, too", "n5": "it is down",
        "n6": "it has no link to this node", "n7": "it accepts no pages",
    }  # fmt: skip
    assert "down: n5. Pages of a node that is down do not move" in found.risks


def test_too_little_room_is_said() -> None:
    many = replace(SAID, pages_foreign=100_000)
    status = row(2).status
    assert status is not None
    big = row(2, status=replace(status, pressure=1.0))
    found = plan(row(1, is_local=True), big, said=many)
    assert (found.bytes_max, found.room_bytes, found.has_room) == (8 * MIB, MIB, False)


def test_a_node_that_can_not_be_asked_has_no_plan() -> None:
    found = plan(row(1, is_local=True), row(2), said=DrainSaid(is_reached=False))
    assert (found.pages_foreign, found.bytes_max, found.has_room) == (None, None, None)
    assert not found.is_down


def test_a_node_that_is_down_is_said_to_be() -> None:
    down = row(2, state=NodeState.DOWN, is_linked=False, status=None)
    assert plan(row(1, is_local=True), down, said=DrainSaid(is_reached=False)).is_down


def test_copies_at_others_are_enough_where_fewer_are_wanted_after_the_drain() -> None:
    here, full = row(1, is_local=True), row(3, free=0)
    many = replace(SAID, pages_foreign=100_000)
    status = row(2).status
    assert status is not None
    big = row(2, status=replace(status, pressure=1.0))
    found = plan(here, big, full, said=many, copies_after=1)
    assert (found.is_enough_elsewhere, found.has_room) == (True, True)
    assert not plan(here, big, full, said=many).has_room, "as many copies as before"
    assert not plan(here, big, full, said=many, at_risk=3, copies_after=1).has_room
    for changes in ({"state": NodeState.DOWN}, {"is_linked": False}, {"cordoned": True}):
        found = plan(here, big, row(3, free=0, **changes), said=many, copies_after=1)
        assert (found.is_enough_elsewhere, found.has_room) == (False, False), changes
