from dataclasses import replace

from heartbeat.routes import (
    UNANSWERED_MAX,
    Endpoint,
    Routes,
    is_loopback,
    normal_endpoint,
    written_endpoints,
)
from nodemanager.ids import NodeId
from tests.helpers.clusters import cluster_of

ONE, TWO = NodeId(1), NodeId(2)
FOUR, SIX, ELSEWHERE = ("10.0.0.1", 7700), ("fd00::1", 7700), ("10.0.0.9", 7700)


def targets(routes: Routes, count: int) -> list[Endpoint | None]:
    return [routes.target(ONE) for _ in range(count)]


def test_endpoints_compare_however_they_are_written() -> None:
    assert normal_endpoint("::ffff:127.0.0.1", 1) == normal_endpoint("127.0.0.1", 1)
    assert normal_endpoint("FE80:0::1%eth0", 1) == ("fe80::1%eth0", 1)
    assert is_loopback("::1")
    assert not is_loopback("192.0.2.1")


def test_of_a_name_the_cluster_file_does_not_say_where_it_is() -> None:
    cluster = cluster_of(3)
    named = replace(cluster.node[2], address="gamma.example")
    cluster = replace(cluster, node=(*cluster.node[:2], named))
    assert written_endpoints(cluster, NodeId(0)) == {ONE: (("127.0.0.1", 7701),), TWO: ()}


def test_a_member_without_an_address_has_no_target() -> None:
    routes = Routes({ONE: []})
    assert routes.target(ONE) is None
    routes.on_changed({ONE: [FOUR]})
    assert routes.target(ONE) == FOUR


def test_without_an_answer_the_addresses_are_tried_in_turn() -> None:
    routes = Routes({ONE: [SIX, FOUR]})
    one_round = [SIX] * UNANSWERED_MAX + [FOUR] * UNANSWERED_MAX
    assert targets(routes, len(one_round) + 1) == [*one_round, SIX]


def test_an_answer_keeps_the_address_that_it_came_from() -> None:
    routes = Routes({ONE: [SIX, FOUR]})
    routes.on_heard(ONE, FOUR)
    for _ in range(5):
        assert targets(routes, UNANSWERED_MAX) == [FOUR] * UNANSWERED_MAX
        routes.on_heard(ONE, FOUR)


def test_the_addresses_before_a_move_count_until_the_member_is_heard_after_it() -> None:
    routes = Routes({ONE: [FOUR]})
    routes.on_changed({ONE: [ELSEWHERE]})
    assert routes.target(ONE) == ELSEWHERE
    assert routes.member_at(FOUR) == ONE
    # It has not got the new one yet.
    assert not routes.on_heard(ONE, FOUR)
    assert routes.target(ONE) == FOUR
    assert routes.member_at(FOUR) == ONE
    assert routes.on_heard(ONE, ELSEWHERE)
    assert not routes.on_heard(ONE, ELSEWHERE), "once"
    assert routes.member_at(FOUR) is None
    assert targets(routes, 9) == [ELSEWHERE] * 9


def test_two_moves_in_a_row_keep_the_first_address_too() -> None:
    routes = Routes({ONE: [FOUR]})
    routes.on_changed({ONE: [SIX]})
    routes.on_changed({ONE: [ELSEWHERE]})
    assert [routes.member_at(each) for each in (FOUR, SIX, ELSEWHERE)] == [ONE, ONE, ONE]
    routes.on_changed({ONE: [FOUR]})
    assert routes.target(ONE) == FOUR


def test_a_name_that_means_nothing_any_more_keeps_its_addresses() -> None:
    routes = Routes({ONE: [FOUR]})
    routes.on_changed({ONE: []})
    assert routes.target(ONE) == FOUR
    assert routes.member_at(FOUR) == ONE


def test_who_has_an_address_now_comes_before_who_had_it() -> None:
    routes = Routes({ONE: [FOUR], TWO: [SIX]})
    routes.on_changed({ONE: [ELSEWHERE], TWO: [FOUR]})
    assert routes.member_at(FOUR) == TWO
    routes.on_heard(ONE, ELSEWHERE)
    assert routes.member_at(FOUR) == TWO


def test_members_that_are_gone_are_nobody() -> None:
    routes = Routes({ONE: [FOUR], TWO: [SIX]})
    routes.on_changed({TWO: [SIX]})
    assert routes.nodes() == [TWO]
    assert routes.member_at(FOUR) is None
