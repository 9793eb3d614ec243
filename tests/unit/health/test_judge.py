"""Each code, by the facts that it follows from."""

import re
from dataclasses import replace
from typing import Final

import pytest

from nodemanager.states import LinkState, NodeState
from ramsterd.health.codes import RULES, Code, Finding, Severity
from ramsterd.health.facts import Facts, KeptOut, LateJob, Past
from ramsterd.health.judge import judge
from tests.helpers.command_lines import check_line
from tests.helpers.health_facts import (
    DAY,
    FACTS,
    MIB,
    down,
    peer,
    said,
    wait,
    with_damage,
    with_files,
    with_memory,
    with_pages,
    with_peers,
    with_process,
)

FULL_PEERS: Final = tuple(peer(name, free_bytes=0) for name in ("beta", "gamma"))
# With less than a block of room.
NEARLY_FULL_PEERS: Final = tuple(peer(name, free_bytes=9000) for name in ("beta", "gamma"))
LATE: Final = LateJob(
    name="drain-3",
    what="node beta",
    seconds=90.0,
    left=9,
    noun="page",
    waits_for="room at beta",
)
CUT: Final = peer(
    "beta", is_linked=False, link=LinkState.REFUSED_THERE, link_reason="cluster 'b', ours is 'a'"
)
OUTDATED: Final = (
    "a node knows a later start of this node: the clock was behind when ramsterd started, or another machine"
    " uses the files of this node"
)


def only(facts: Facts, past: Past | None = None) -> Finding:
    """Return the only code that holds."""
    [finding] = judge(facts, past or Past())
    return finding


def test_a_node_on_which_all_is_well_has_no_code() -> None:
    assert judge(FACTS) == []


# What each code follows from: severity, a part of the summary, the details, the line to type.
CASES: Final = [
    pytest.param(
        with_pages(unreadable=(("swap0", 300),), unreadable_pages=312), Past(),
        Code.PAGES_LOST, Severity.ERR, "at most 312 pages of this node can't be read",
        ("export swap0: at most 300 pages can't be read",
         "pools of programs: at most 12 pages can't be read"),
        "ramsterctl verify --invariants",
        id="lost pages",
    ),
    pytest.param(
        with_pages(lost_exports=("swap0",), lost_pools=((1000, "spill"),)), Past(),
        Code.EXPORT_LOST, Severity.ERR, "clients are refused by 1 export and 1 pool",
        ("export swap0 is lost", "pool 'spill' of user 1000 is lost"),
        "stop what used it, then: ramsterctl export reset swap0",
        id="a lost export",
    ),
    pytest.param(
        with_pages(lost_pools=((1000, "spill"),)), Past(),
        Code.EXPORT_LOST, Severity.ERR, "clients are refused by 1 pool",
        ("pool 'spill' of user 1000 is lost",),
        "stop what used it, then: ramsterctl pool reset 1000 spill",
        id="a lost pool",
    ),
    pytest.param(
        with_pages(at_risk=1, risk_seconds_left=12.4), Past(),
        Code.PAGES_AT_RISK, Severity.WARN, "1 page of this node",
        ("they are copied again in about 12 s",),
        "ramsterctl status",
        id="pages that are copied again",
    ),
    pytest.param(
        replace(with_pages(at_risk=9, risk_seconds_left=None), peers=(CUT, peer("gamma"))), Past(),
        Code.PAGES_AT_RISK, Severity.WARN, "9 pages of this node have fewer copies than asked",
        ("beta keeps 100 pages, and has no link", "they wait for more nodes with room"),
        "on node beta: systemctl start ramsterd",
        id="pages at a node without a link",
    ),
    pytest.param(
        with_pages(at_risk=9, risk_seconds_left=None), Past(),
        Code.PAGES_AT_RISK, Severity.WARN, "9 pages", ("they wait for room at other nodes",),
        "on node beta: ramsterctl memory set --budget 125MiB",
        id="pages without room elsewhere",
    ),
    pytest.param(
        replace(
            with_pages(at_risk=9, risk_seconds_left=None),
            peers=(
                peer("beta", budget_bytes=32 * MIB, free_bytes=8 * MIB),
                # Full, so it accepts nothing; and less than a block is no room.
                peer("gamma", budget_bytes=12 * MIB, free_bytes=9000, may_place=False),
                peer("delta", budget_bytes=0, free_bytes=0),
            ),
        ),
        Past(),
        Code.PAGES_AT_RISK, Severity.WARN, "9 pages", ("they wait for room at other nodes",),
        "on node gamma: ramsterctl memory set --budget 15MiB",
        id="pages that wait for room at the fullest node",
    ),
    pytest.param(
        replace(
            with_pages(at_risk=9, risk_seconds_left=None, copies=1),
            peers=(peer("beta", budget_bytes=0, free_bytes=0),),
        ),
        Past(),
        Code.PAGES_AT_RISK, Severity.WARN, "9 pages", ("they wait for room at other nodes",),
        "on node beta: ramsterctl memory show",
        id="pages that wait for room at a node whose budget is not known",
    ),
    pytest.param(
        replace(with_pages(at_risk=9, risk_seconds_left=None), kept_out=(KeptOut(name="gamma"),)),
        Past(),
        Code.PAGES_AT_RISK, Severity.WARN, "9 pages", ("they wait for room at other nodes",),
        "add a node, or: ramsterctl node uncordon gamma",
        id="pages that wait for a cordoned node",
    ),
    pytest.param(
        replace(with_pages(at_risk=9, risk_seconds_left=None), peers=()), Past(),
        Code.PAGES_AT_RISK, Severity.WARN, "9 pages", ("they wait for room at other nodes",),
        "add a node, then: ramsterctl nodes",
        id="pages of the only node",
    ),
    pytest.param(
        with_damage(corrupt_pages=2), Past(),
        Code.CORRUPT_FOUND, Severity.WARN, "pages were not what was stored, here",
        ("2 pages in the memory of this node",), "ramsterctl verify",
        id="damage here",
    ),
    pytest.param(
        with_damage(in_doubt=(("beta", 3, 1),)), Past(),
        Code.CORRUPT_FOUND, Severity.WARN, "stored, at beta;",
        ("beta did not keep what it stored: copies missing: 3, damaged: 1",),
        "on node beta: ramsterctl verify",
        id="damage at a peer",
    ),
    pytest.param(
        with_damage(audit_problem="leaf 7", corrupt_pages=1), Past(),
        Code.CORRUPT_FOUND, Severity.ERR, "tables of this node contradict each other", ("leaf 7",),
        "ramsterctl node drain alpha, and report the line above",
        id="tables that contradict each other",
    ),
    pytest.param(
        with_peers(down("beta", pages=0), peer("gamma")), Past(),
        Code.NODE_DOWN, Severity.WARN, "1 of 2 other nodes is down: beta",
        ("beta: no answer for 3 s",), "on node beta: systemctl start ramsterd",
        id="a node that is down",
    ),
    pytest.param(
        with_peers(down("beta"), down("gamma", state=NodeState.LEFT, reason="it has stopped")),
        Past(), Code.NODE_DOWN, Severity.WARN, "2 of 2 other nodes are down: beta and gamma",
        ("beta: no answer for 3 s; it keeps 100 pages of this node",
         "gamma: it has stopped; it keeps 100 pages of this node"),
        "on nodes beta and gamma: systemctl start ramsterd",
        id="two nodes that are down",
    ),
    pytest.param(
        with_peers(down("beta", pages=0, reason="", link_reason="")), Past(),
        Code.NODE_DOWN, Severity.WARN, "1 of 1 other node", ("beta: it was never seen",),
        "on node beta: systemctl start ramsterd",
        id="a node that nobody saw",
    ),
    pytest.param(
        replace(with_pages(waits=(wait("beta"),)), peers=(down("beta", pages=0), peer("gamma"))),
        Past(), Code.NODE_DOWN, Severity.ERR, "beta; clients wait",
        ("beta: no answer for 3 s", "export swap0 waits for node beta: 3 reads, for 5 s"),
        "on node beta: systemctl start ramsterd",
        id="clients that wait for a node",
    ),
    pytest.param(
        with_peers(CUT, peer("gamma")), Past(),
        Code.LINK_DOWN, Severity.WARN, "1 node is alive and has no link: beta",
        ("beta: it refuses this node: cluster 'b', ours is 'a'",),
        "ramsterctl nodes, here and there",
        id="a node that refuses",
    ),
    pytest.param(
        replace(
            with_files(is_outdated=True),
            peers=(peer("beta", is_linked=False, link=LinkState.UNTRIED), peer("gamma")),
        ),
        Past(), Code.LINK_DOWN, Severity.WARN, "1 node is alive",
        ("beta: no attempt has ended yet",
         OUTDATED),
        "ramsterctl nodes, here and there",
        id="a node that knows a later start of this one",
    ),
    pytest.param(
        with_files(differs_from=("beta",)), Past(),
        Code.MEMBERS_DIFFER, Severity.WARN, "cluster.toml differs between this node and beta",
        ("beta has other members for the same membership version",),
        "on the node whose members are right: ramsterctl node cordon alpha,"
        " then: ramsterctl node uncordon alpha",
        id="other members under one version",
    ),
    pytest.param(
        with_files(members_refused="a rule"), Past(),
        Code.MEMBERS_DIFFER, Severity.WARN, "does not use the members", ("a rule",),
        "ramsterctl nodes, here and there",
        id="members that break a rule",
    ),
    pytest.param(
        with_files(is_removed=True), Past(),
        Code.MEMBERS_DIFFER, Severity.ERR, "was removed from the cluster", (),
        "systemctl stop ramsterd",
        id="a node that was removed",
    ),
    pytest.param(
        with_process(is_starved=True), Past(), Code.STARVED, Severity.WARN, "short of CPU",
        ("answers to heartbeats come late: other nodes send no pages here",), "top",
        id="late heartbeats",
    ),
    pytest.param(
        with_process(is_starved=True, is_in_doubt=True), Past(),
        Code.STARVED, Severity.WARN, "short of CPU",
        ("most nodes seem down: probably this node has no network",), "top",
        id="no network",
    ),
    pytest.param(
        FACTS, Past(long_rounds=3), Code.STARVED, Severity.WARN, "short of CPU",
        ("clients got no answer for a while, 3 times in a minute",), "top",
        id="a slow loop",
    ),
    pytest.param(
        FACTS, Past(pauses=4, paused_seconds=7.24), Code.STARVED, Severity.WARN, "short of CPU",
        ("the system did not run ramsterd for 7.2 s of the last minute, in 4 pauses",), "top",
        id="a process that is not run",
    ),
    pytest.param(
        replace(FACTS, late_jobs=(LATE,)), Past(),
        Code.JOB_OVERDUE, Severity.WARN, "1 job is past the deadline: drain-3",
        ("drain-3 of node beta: 9 pages left, 1m 30s after the deadline; none is dropped; waits for room at beta",),
        "ramsterctl job watch drain-3, or: ramsterctl job cancel drain-3",
        id="a drain that is late",
    ),
    pytest.param(
        replace(with_memory(used_bytes=99 * MIB), peers=(peer("beta", free_bytes=10 * MIB),)),
        Past(), Code.MEMORY_NEARFULL, Severity.WARN, "11 MiB are free for new pages",
        ("pages: 99 MiB of 100 MiB in use here, room at beta",),
        "ramsterctl memory set --budget 125MiB",
        id="little room",
    ),
    pytest.param(
        with_memory(tables_bytes=60 * MIB), Past(),
        Code.MEMORY_NEARFULL, Severity.WARN, "75 MiB are free for new pages",
        ("tables: 60 MiB of 64 MiB in use",),
        "raise tables_max in [memory], then: ramsterctl config reload",
        id="little room in the tables",
    ),
    pytest.param(
        replace(with_memory(used_bytes=100 * MIB), peers=FULL_PEERS), Past(),
        Code.MEMORY_FULL, Severity.ERR, "writes find no room: 0 B are free",
        ("pages: 100 MiB of 100 MiB in use here, no room at other nodes",),
        "ramsterctl memory set --budget 125MiB",
        id="no room",
    ),
    pytest.param(
        FACTS, Past(refused_puts=2), Code.MEMORY_FULL, Severity.ERR,
        "2 writes found no room in the last minute; there is room again",
        ("pages: 85 MiB of 100 MiB in use here, room at beta and gamma",),
        "in a minute: ramsterctl health",
        id="writes that were refused before there was room",
    ),
    pytest.param(
        replace(with_memory(used_bytes=100 * MIB), peers=(FULL_PEERS[0], peer("gamma"))),
        Past(refused_puts=1), Code.MEMORY_FULL, Severity.ERR,
        "1 write found no room in the last minute; 60 MiB are free",
        ("pages: 100 MiB of 100 MiB in use here, room at gamma",),
        "ramsterctl events --kind writes_refused",
        id="a write that was refused for want of a second peer with room",
    ),
    pytest.param(
        replace(with_memory(used_bytes=100 * MIB - 9000), peers=NEARLY_FULL_PEERS),
        Past(refused_puts=2), Code.MEMORY_FULL, Severity.ERR,
        "writes find no room: 0 B are free",
        ("2 writes found no room in the last minute",
         "pages: 100 MiB of 100 MiB in use here, no room at other nodes"),
        "ramsterctl memory set --budget 125MiB",
        id="no room for a block",
    ),
    pytest.param(
        replace(with_memory(used_bytes=98 * MIB), peers=FULL_PEERS),
        Past(active=frozenset({Code.MEMORY_FULL})), Code.MEMORY_FULL, Severity.ERR,
        "writes find little room: 2 MiB are free",
        ("pages: 98 MiB of 100 MiB in use here, no room at other nodes",),
        "ramsterctl memory set --budget 125MiB",
        id="little room after none",
    ),
    pytest.param(
        with_memory(tables_bytes=64 * MIB), Past(),
        Code.MEMORY_FULL, Severity.ERR, "writes find no room: the tables of pages are full",
        ("tables: 64 MiB of 64 MiB in use",),
        "raise tables_max in [memory], then: ramsterctl config reload",
        id="full tables",
    ),
    pytest.param(
        with_memory(is_shrink_stopped=True, target_bytes=16 * MIB), Past(),
        Code.MEMORY_STUCK, Severity.WARN, "shrinking to 16 MiB stopped: no peer has room",
        ("85 MiB of 100 MiB are in use",),
        "give other nodes memory, then: ramsterctl memory set --budget 16MiB",
        id="a shrink that stopped",
    ),
    pytest.param(
        with_process(swap_exports=("swap0",), is_locked=True, is_oom_exempt=True), Past(),
        Code.SWAP_UNSAFE, Severity.WARN, "it serves swap: export swap0",
        ("its allocations may wait for swap that it serves itself",), "ramsterctl doctor --swap",
        id="an export for swap without protection",
    ),
    pytest.param(
        with_process(keeper=""), Past(), Code.NOT_KEPT, Severity.WARN, "nobody keeps its memory",
        (), "ramsterctl doctor",
        id="memory that nobody keeps",
    ),
    pytest.param(
        replace(with_process(keeper=""), files=replace(FACTS.files, own_file="/srv/n1.toml")),
        Past(),
        Code.NOT_KEPT, Severity.WARN, "nobody keeps its memory",
        (), "ramsterctl doctor --config /srv/n1.toml",
        id="memory that nobody keeps, of a daemon with a file of its own",
    ),
    pytest.param(
        with_files(state_problem="no space left on device"), Past(),
        Code.UNWRITTEN, Severity.ERR, "first writes to blank exports are refused",
        ("no space left on device",
         "make room there: bytes, or inodes (df -i); if df does not answer, repair the disk",
         "ramsterd tries again each second"),
        "df /var/lib/ramster",
        id="a state file that can't be written",
    ),
    pytest.param(
        with_files(members_unwritten="permission denied"), Past(),
        Code.UNWRITTEN, Severity.WARN, "not in the cluster file",
        ("permission denied",
         "remove the cause first: a disk without room, a quota, rights on the folder, a change by hand"),
        "ramsterctl config reload",
        id="a cluster file that can't be written",
    ),
    pytest.param(
        with_files(members_unwritable="no space left on device"), Past(),
        Code.UNWRITTEN, Severity.WARN, "the next change of the members",
        ("no space left on device",
         "make room there: bytes, or inodes (df -i); if df does not answer, repair the disk"),
        "df /etc/ramster/cluster.toml",
        id="a full disk under the cluster file",
    ),
    pytest.param(
        with_files(certificate_seconds=-DAY - 1), Past(),
        Code.CERT_EXPIRED, Severity.ERR, "expired 1 day ago", (),
        "where the CA is: ramsterctl cluster renew --from DIR --out renewed",
        id="a certificate that ended",
    ),
    pytest.param(
        with_files(certificate_seconds=12.5 * DAY), Past(),
        Code.CERT_EXPIRING, Severity.WARN, "expires in 12 days", (),
        "where the CA is: ramsterctl cluster renew --from DIR --out renewed",
        id="a certificate that ends soon",
    ),
    pytest.param(
        with_peers(said("beta", skew=12.0), said("gamma", skew=-0.2)), Past(),
        Code.CLOCK_SKEW, Severity.WARN, "the clock of alpha differs from that of beta",
        ("beta: its clock is 12.0 s ahead",), "on node beta: timedatectl set-ntp true",
        id="one clock that is ahead",
    ),
    pytest.param(
        with_peers(said("beta", skew=-7000.0), said("gamma", skew=-7000.5)), Past(),
        Code.CLOCK_SKEW, Severity.WARN, "the clock of alpha differs from that of beta and gamma",
        (
            "beta: its clock is 7,000.0 s behind",
            "gamma: its clock is 7,000.5 s behind",
            "certificates that are new may not be valid yet at the node that is behind",
        ),
        "on node alpha: timedatectl set-ntp true",
        id="a clock that differs from all others",
    ),
    pytest.param(
        with_peers(said("beta", skew=6.0)), Past(),
        Code.CLOCK_SKEW, Severity.WARN, "the clock of alpha differs from that of beta",
        ("beta: its clock is 6.0 s ahead",),
        "timedatectl, here and there; where the clock is wrong: timedatectl set-ntp true",
        id="two clocks of which nobody knows which one is wrong",
    ),
    pytest.param(
        with_peers(said("beta", version="1.1.0"), said("gamma", version="")), Past(),
        Code.VERSION_SKEW, Severity.WARN, "beta and gamma are not of version 1.2.0",
        ("beta: version 1.1.0", "gamma: an older version"),
        "install one version on all nodes, then on each: ramsterctl restart",
        id="an upgrade that nobody ended",
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("facts", "past", "code", "severity", "summary", "details", "command"), CASES
)
def test_a_code_follows_from_its_facts(
    facts: Facts,
    past: Past,
    code: Code,
    severity: Severity,
    summary: str,
    details: tuple[str, ...],
    command: str,
) -> None:
    # A node that is down takes pages with it; those are cases of their own.
    [finding] = [each for each in judge(facts, past) if each.code is code]
    assert (finding.severity, finding.details, finding.command) == (severity, details, command)
    assert summary in finding.summary
    others = {each.code for each in judge(facts, past)} - {code}
    assert others <= {Code.LINK_DOWN}, "one trouble, one code"


@pytest.mark.parametrize("command", sorted({str(case.values[6]) for case in CASES}))
def test_a_line_to_type_is_one_that_there_is(command: str) -> None:
    """What is not ours is a program of the system."""
    typed = re.findall(r"ramsterctl [^,]*", command)
    for line in typed:
        check_line(line, is_whole=True)
    assert typed or re.search(
        r"(^|: )(systemctl (start|stop) ramsterd|timedatectl set-ntp true|top|df \S+)$", command
    )


def test_every_code_and_severity_is_reached() -> None:
    reached = {(case.values[2], case.values[3]) for case in CASES}
    assert reached == {(code, each) for code, rule in RULES.items() for each in rule.severities}


@pytest.mark.parametrize(
    "facts",
    [
        with_files(certificate_seconds=None),
        with_files(certificate_seconds=31 * DAY),
        with_process(keeper="", is_keeper_unwanted=True),
        with_process(
            swap_exports=("swap0",), is_locked=True, is_io_flusher=True, is_oom_exempt=True
        ),
        with_pages(is_counting_risk=True),
        with_peers(peer("beta", state=NodeState.JOINING, is_linked=False), peer("gamma")),
        with_peers(peer("beta", state=NodeState.SUSPECT), peer("gamma")),
        with_peers(said("beta", skew=4.9), said("gamma")),
        # Pages that are elsewhere too give way.
        replace(with_memory(used_bytes=100 * MIB, droppable_bytes=50 * MIB), peers=FULL_PEERS),
    ],
    ids=[
        "no TLS", "a good certificate", "nobody is to keep pages", "protected swap",
        "risk that is being counted", "a node that starts", "a suspect", "clocks that are near enough", "a full arena of clean pages",
    ],
)  # fmt: skip
def test_what_is_no_trouble_has_no_code(facts: Facts) -> None:
    assert judge(facts) == []


def test_room_at_peers_counts_once_for_all_copies() -> None:
    facts = replace(
        with_memory(used_bytes=99 * MIB),
        peers=tuple(peer(name, free_bytes=14 * MIB) for name in ("beta", "gamma")),
    )
    assert "15 MiB are free" in only(facts).summary


def test_a_full_node_that_was_to_shrink_is_told_one_size() -> None:
    shrinking = with_memory(used_bytes=100 * MIB, is_shrink_stopped=True, target_bytes=16 * MIB)
    full, stuck = judge(replace(shrinking, peers=FULL_PEERS))
    assert (full.code, stuck.code) == (Code.MEMORY_FULL, Code.MEMORY_STUCK)
    assert full.command == stuck.command
    assert full.command.endswith("--budget 16MiB")


def test_room_after_refused_writes_comes_without_a_size_though_it_is_little() -> None:
    """Right after the larger budget that health asked for."""
    facts = replace(with_memory(used_bytes=98 * MIB), peers=FULL_PEERS)
    found = only(facts, Past(active=frozenset({Code.MEMORY_FULL}), refused_puts=2))
    assert found.summary.endswith("there is room again")
    assert "--budget" not in found.command


def test_a_value_at_its_border_ends_no_code() -> None:
    little = replace(with_memory(used_bytes=98 * MIB), peers=(peer("beta", free_bytes=26 * MIB),))
    assert judge(little) == []
    active = Past(active=frozenset({Code.MEMORY_NEARFULL}))
    assert only(little, active).code is Code.MEMORY_NEARFULL


def test_a_suspect_without_a_link_is_not_called_alive() -> None:
    """A node that dies is NODE_DOWN in the end, and no trouble with a link before."""
    assert judge(with_peers(replace(CUT, state=NodeState.SUSPECT), peer("gamma"))) == []


def test_many_nodes_are_not_all_named() -> None:
    found = only(with_peers(*(down(f"n{number}", pages=0) for number in range(20))))
    assert found.summary.endswith("n6, n7 and 12 more")
    assert found.count == len(found.details) == 20
