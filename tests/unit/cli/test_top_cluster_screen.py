"""The screen of `ramsterctl top --cluster`: what it says of all members, and that it fits."""

from typing import Any

from hypothesis import given, strategies as st

from ramsterd.cli.top_cluster_screen import ClusterView, Heard, Member, Order, Silent, screen
from tests.helpers.pictures import code, event, job, picture

MIB = 1 << 20


def health(severity: str, *codes: dict[str, Any], tolerance: int = 1) -> dict[str, Any]:
    return {"severity": severity, "failure_tolerance_nodes": tolerance, "codes": list(codes)}


def memory(budget: int, **kinds: int) -> dict[str, Any]:
    names = (
        "own_persistent",
        "own_clean",
        "own_ephemeral",
        "foreign_persistent",
        "foreign_ephemeral",
    )
    return {
        "budget_bytes": budget, "resident_bytes": sum(kinds.values()), "remote_pages": 3,
        "zpage_bytes": {name: kinds.get(name, 0) for name in names},
        "pages": {name: kinds.get(name, 0) >> 12 for name in names},
    }  # fmt: skip


def heard(name: str, *, reads: int = 0, writes: int = 0, **changes: Any) -> Heard:
    """Return a member that has answered 2 s before, and now."""
    shown = {"health": health("ok"), "memory": memory(MIB), "jobs": []} | changes
    before, now = picture(**shown), picture(at=102.0, **shown)
    now["totals"] |= {
        "get_local_pages": before["totals"]["get_local_pages"] + 2 * reads,
        "put_pages": before["totals"]["put_pages"] + 2 * writes,
    }
    return Heard(name, now, before)


def lines(*members: Member, **shown: Any) -> list[str]:
    view = ClusterView(cluster="lab", through="alpha", at=100.0, members=members, **shown)
    return [line.plain.rstrip() for line in screen(view)]


def rows(order: Order, *members: Member) -> list[str]:
    shown = lines(*members, order=order)
    first = next(place for place, line in enumerate(shown) if line.startswith("MEMBER"))
    return [line.split()[0] for line in shown[first + 1 :][: len(members)]]


def test_each_member_has_a_line_of_its_own() -> None:
    member = heard(
        "beta", reads=1500, writes=20, memory=memory(MIB, own_persistent=MIB // 2, foreign_persistent=MIB // 4)
    )  # fmt: skip
    assert member.before is not None
    member.now["latency"]["read_local"]["counts"][2] += 7
    member.now["latency"]["read_peer"]["counts"][-1] += 7
    shown = lines(member)
    assert shown[0] == "cluster lab   1 member, asked through alpha   00:01:40 UTC"
    assert shown[1] == "OK      1 ok; failure tolerance: 1 node"
    head, row = shown[-3:-1]
    assert head.split("  ")[0] == "MEMBER"
    assert row == (
        "beta         ok     [PPPPpp...]      1 MiB    1,500       20    50 us     >10 s"
    ).replace("1 MiB", "1 MiB")
    assert len(row) == len(head)


def test_memory_rates_and_waits_of_all_are_together() -> None:
    members = [heard(name, reads=100, memory=memory(MIB, own_persistent=MIB // 2)) for name in "ab"]
    for each in members:
        each.now["latency"]["read_local"]["counts"][1] += 5
    shown = lines(*members, Silent("c", "no link"))
    assert any(line.endswith("1 MiB of 2 MiB") for line in shown)
    assert any(line.startswith("        6 pages at peers   P 1 MiB own") for line in shown)
    assert "read/s  200 here   0 from peers   0 without data" in shown
    assert "p50/p99 read 25 us / 25 us here   - / - with peers" in shown


def test_who_says_nothing_is_named_first_and_makes_all_of_it_bad() -> None:
    shown = lines(heard("alpha"), Silent("beta", "down: no answer for 6.1 s"))
    assert shown[1] == "ERR     1 silent, 1 ok; failure tolerance: 0 nodes"
    assert "beta         silent down: no answer for 6.1 s" in shown
    for order in set(Order) - {Order.NAME}:
        assert rows(order, heard("alpha"), Silent("beta", "x")) == ["beta", "alpha"]


def test_the_worst_codes_stand_above_with_where_to_type_what() -> None:
    down = code("NODE_DOWN", "n9 is down", command="on node n9: systemctl start ramsterd")
    many = health("warn", down, code("MUTED", muted_seconds=9.0))
    shown = lines(
        heard("a", health=many), heard("b", health=many),
        heard("c", health=health("err", code("EXPORT_LOST", "swap0 is lost", severity="err"))),
        heard("d", health=health("warn", code("OF_A_LATER_VERSION"), code("CLOCK_SKEW"))),
    )  # fmt: skip
    assert shown[1:7] == [
        "ERR     1 err, 3 warn; failure tolerance: 1 node",
        "  EXPORT_LOST at c: swap0 is lost",
        "    type on c: ramsterctl repair EXPORT_LOST",
        "  NODE_DOWN at a and 1 more: n9 is down",
        "    type: on node n9: systemctl start ramsterd",
        "  … 2 more: ramsterctl health --cluster",
    ]


def test_members_come_in_the_order_that_was_asked_for() -> None:
    members = (
        heard("a", reads=5, writes=9, memory=memory(9 * MIB)),
        heard("b", reads=9, writes=5, health=health("err")),
        heard("c", reads=7, writes=7, health=health("warn"), memory=memory(5 * MIB)),
    )
    assert rows(Order.HEALTH, *members) == ["b", "c", "a"]
    assert rows(Order.NAME, *members) == ["a", "b", "c"]
    assert rows(Order.FREE, *members) == ["b", "c", "a"]
    assert rows(Order.READS, *members) == ["b", "c", "a"]
    assert rows(Order.WRITES, *members) == ["a", "c", "b"]


def test_what_several_note_is_shown_once() -> None:
    notes = ["beta is cordoned", "gamma is drained", "delta is draining"]
    shown = lines(
        heard("alpha", health=health("ok") | {"notes": notes[:2]}),
        heard("beta", health=health("ok") | {"notes": notes}),
        heard("gamma"),
    )
    assert shown[2:5] == [
        "  beta is cordoned",
        "  gamma is drained",
        "  … 1 more: ramsterctl health --cluster",
    ]


def test_a_job_that_several_show_is_shown_once_as_its_node_has_it() -> None:
    shown = "\n".join(
        lines(
            heard("n1", jobs=[job(2, done=10)]),
            heard("n2", jobs=[job(2, done=30), job(3, id="verify-1")]),
            heard("n3", jobs=[job(2, done=20), job(3, id="verify-1", node="n3", what="node n3")]),
        )
    )
    assert shown.count("drain-2") == 1
    assert "drain-2 of node n2: 30 of 40 pages" in shown
    assert shown.count("verify-1") == 2


def test_events_name_the_member_that_has_them() -> None:
    shown = lines(heard("a"), events=[("b", event("gone\x1b[2J"))])
    assert shown[-2] == "07:00:00  b  gone\N{REPLACEMENT CHARACTER}[2J"


def test_a_node_at_hand_that_does_not_answer_any_more_makes_it_old() -> None:
    assert lines(problem="no daemon answers")[0] == "OLD, of 00:01:40 UTC: no daemon answers"


def test_64_members_leave_room_for_the_last_events() -> None:
    members = [heard(f"n{number:02}") for number in range(64)]
    events = [("n1", event(f"event {number}")) for number in range(9)]
    shown = lines(*members, events=events)
    assert len(shown) == 24
    assert any(line.startswith("… ") and line.endswith(" more members") for line in shown)
    assert shown[-2].endswith("event 8")


@given(
    width=st.integers(20, 200),
    height=st.integers(3, 60),
    members=st.integers(0, 9),
    silent=st.integers(0, 9),
    codes=st.integers(0, 5),
    events=st.integers(0, 60),
    text=st.text(max_size=300),
)
def test_no_screen_is_larger_than_the_terminal(
    width: int, height: int, members: int, silent: int, codes: int, events: int, text: str
) -> None:
    found = health("warn", *(code(f"C{each}", text) for each in range(codes)))
    work = [job(each, waits_for=text) for each in range(5)]
    shown = screen(
        ClusterView(
            cluster="lab", through="alpha", at=100.0,
            members=[
                *(Heard(f"n{each}", picture(health=found, jobs=work)) for each in range(members)),
                *(Silent(f"s{each}", text) for each in range(silent)),
            ],
            events=[("n1", event(text))] * events, width=width, height=height,
        )
    )  # fmt: skip
    assert len(shown) <= height
    assert all(line.cell_len <= width for line in shown)
    assert all("\n" not in line.plain for line in shown)
