"""`ramsterctl health`: what it prints, its exit status, and what it asks."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ramsterd.cli.ask import ask, ask_each, ask_or_unavailable
from ramsterd.cli.format_health import format_health_line
from ramsterd.cli.health import health_group, to_json
from ramsterd.cli.target import Target
from ramsterd.health.codes import Code
from tests.fakes.answering_cluster import AnsweringCluster

TARGET = Target(Path("socket"))


def code(name: str, severity: str = "warn", muted_seconds: float = 0.0) -> dict[str, Any]:
    return {
        "code": name,
        "severity": severity,
        "summary": "it is so",
        "details": ["beta: no answer"],
        "command": "on node beta: systemctl start ramsterd",
        "active_seconds": 7.0,
        "muted_seconds": muted_seconds,
    }


def health(severity: str, *codes: dict[str, Any], node: str = "alpha") -> dict[str, Any]:
    return {
        "node": node,
        "severity": severity,
        "failure_tolerance_nodes": 1,
        "codes": list(codes),
        "notes": [],
    }


OK = health("ok")
WARN = health("warn", code("NODE_DOWN"), code("NOT_KEPT", muted_seconds=3540.0))
ERR = health("err", code("EXPORT_LOST", "err"), code("NODE_DOWN"))


class Daemon:
    def __init__(self, answer: object) -> None:
        self.answer = answer
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def ask(self, target: Target, command: str, **arguments: Any) -> Any:
        self.asked.append((command, arguments))
        return self.answer


def run(daemon: Daemon, *arguments: str) -> Result:
    return CliRunner().invoke(
        health_group(daemon.ask, daemon.ask, daemon.ask), arguments, obj=TARGET
    )


def test_a_node_that_is_well_takes_one_line() -> None:
    result = run(Daemon(OK))
    assert (result.exit_code, result.output) == (0, "OK     failure tolerance: 1 node\n")


def test_each_code_has_details_and_the_line_to_type() -> None:
    result = run(Daemon(WARN))
    assert result.exit_code == 1
    assert result.output.splitlines() == [
        "WARN   failure tolerance: 1 node; 1 muted",
        "WARN   NODE_DOWN  it is so",
        "         beta: no answer",
        "         type: on node beta: systemctl start ramsterd",
        "MUTED  NOT_KEPT   it is so (for 59m more)",
        "         beta: no answer",
        "         type: on node beta: systemctl start ramsterd",
    ]


@pytest.mark.parametrize(
    ("answer", "status"), [(OK, 0), (WARN, 1), (ERR, 2)], ids=["ok", "warn", "err"]
)
def test_the_exit_status_is_the_severity(answer: dict[str, Any], status: int) -> None:
    assert run(Daemon(answer)).exit_code == status
    result = run(Daemon(answer), "-o", "json")
    assert result.exit_code == status
    found = json.loads(result.output)
    assert found["severity"] == answer["severity"]
    assert found["nodes"] == [answer]


def test_the_json_of_several_nodes_is_the_worst_of_them() -> None:
    weaker = {**health("warn", node="beta"), "failure_tolerance_nodes": 0}
    found = to_json([OK, weaker])
    assert (found["severity"], found["failure_tolerance_nodes"]) == ("warn", 0)
    assert [each["node"] for each in found["nodes"]] == ["beta", "alpha"]


def test_a_code_is_muted_for_a_while_in_either_case() -> None:
    daemon = Daemon({})
    result = run(daemon, "mute", "node_down", "--for", "90m")
    assert result.output == "NODE_DOWN is muted for 1h 30m, unless it gets worse\n"
    result = run(daemon, "unmute", "NODE_DOWN")
    assert result.output == "NODE_DOWN counts again\n"
    assert daemon.asked == [
        ("health-mute", {"code": "NODE_DOWN", "seconds": 5400}),
        ("health-unmute", {"code": "NODE_DOWN"}),
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ("mute", "NODE_DOWN"),
        ("mute", "NODES", "--for", "1h"),
        ("mute", "NODE_DOWN", "--for", "soon"),
    ],
)
def test_a_mistake_asks_nobody(arguments: tuple[str, ...]) -> None:
    daemon = Daemon({})
    assert run(daemon, *arguments).exit_code == 2
    assert daemon.asked == []


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("nod_down", "found 'nod_down', expected NODE_DOWN (the nearest code)\n"),
        ("PAGE_LOST", "found 'PAGE_LOST', expected PAGES_LOST (the nearest code)\n"),
        ("FOO", f"found 'FOO', expected one of {', '.join(Code.__members__)}\n"),
    ],
)
@pytest.mark.parametrize("command", ["mute", "unmute"])
def test_an_unknown_code_names_the_nearest_as_it_is_written_everywhere(
    command: str, typed: str, words: str
) -> None:
    daemon = Daemon({})
    more = ["--for", "1h"] if command == "mute" else []
    result = run(daemon, command, typed, *more)
    assert result.exit_code == 2
    assert result.output.endswith(words)
    assert daemon.asked == []


def test_without_an_answer_the_status_is_none_of_a_severity(tmp_path: Path) -> None:
    command = health_group(ask, ask_or_unavailable, ask_each)
    for arguments, status in (((), 69), (("mute", "NODE_DOWN", "--for", "1h"), 1)):
        result = CliRunner().invoke(command, arguments, obj=Target(tmp_path / "none"))
        assert result.exit_code == status
        assert "no daemon answers at" in result.output


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (OK, "health         ok"),
        (health("ok", code("NOT_KEPT", muted_seconds=1.0)), "health         ok; 1 muted"),
        (WARN, "HEALTH         warn: NODE_DOWN; 1 muted; type: ramsterctl health"),
        (ERR, "HEALTH         err: EXPORT_LOST and 1 more; type: ramsterctl health"),
    ],
)
def test_the_status_has_one_line(answer: dict[str, Any], line: str) -> None:
    assert format_health_line(answer) == line


def of_cluster(cluster: AnsweringCluster, *arguments: str) -> Result:
    command = health_group(cluster.ask, cluster.ask, cluster.ask_each)
    return CliRunner().invoke(command, ["--cluster", *arguments], obj=TARGET)


def test_the_health_of_a_cluster_begins_with_the_worst_node() -> None:
    beta = health("err", code("EXPORT_LOST", "err"), node="beta")
    result = of_cluster(AnsweringCluster(alpha=OK, beta=beta))
    assert result.exit_code == 2
    assert result.output.splitlines() == [
        "ERR    failure tolerance: 1 node; 2 nodes: 1 ERR, 1 OK",
        "",
        "node beta",
        "ERR    failure tolerance: 1 node",
        "ERR    EXPORT_LOST  it is so",
        "         beta: no answer",
        "         type: on node beta: systemctl start ramsterd",
        "",
        "node alpha",
        "OK     failure tolerance: 1 node",
    ]


NOTE = "beta is cordoned and gets no new pages; to end this: ramsterctl node uncordon beta"


def test_notes_follow_the_failure_tolerance() -> None:
    result = run(Daemon({**OK, "notes": [NOTE]}))
    assert result.exit_code == 0
    assert result.output == f"OK     failure tolerance: 1 node\n         {NOTE}\n"


def test_what_all_members_note_is_printed_once() -> None:
    alpha, beta = {**OK, "notes": [NOTE]}, {**health("ok", node="beta"), "notes": [NOTE]}
    # Of an earlier version.
    gamma = health("ok", node="gamma")
    del gamma["notes"]
    result = of_cluster(AnsweringCluster(alpha=alpha, beta=beta, gamma=gamma))
    assert result.exit_code == 0
    assert result.output.splitlines()[:3] == [
        "OK     failure tolerance: 1 node; 3 nodes: 3 OK",
        f"         {NOTE}",
        "",
    ]
    assert result.output.count(NOTE) == 1


def test_a_cluster_that_is_well_ends_with_0() -> None:
    assert of_cluster(AnsweringCluster(alpha=OK, beta=health("ok", node="beta"))).exit_code == 0


def test_a_member_that_says_nothing_counts_as_down() -> None:
    result = of_cluster(AnsweringCluster(alpha=OK, beta="no link"), "-o", "json")
    assert result.exit_code == 2
    found = json.loads(result.output)
    assert (found["severity"], found["failure_tolerance_nodes"]) == ("err", 0)
    beta, alpha = found["nodes"]
    assert alpha == OK
    assert (beta["node"], beta["codes"][0]["code"], beta["codes"][0]["details"]) == (
        "beta",
        "NODE_DOWN",
        ["no link"],
    )
    assert beta["codes"][0].keys() == code("NODE_DOWN").keys()


@pytest.mark.parametrize(
    ("state", "summary", "command"),
    [
        ("down", "beta is down", "on node beta: systemctl start ramsterd"),
        ("left", "beta is down", "on node beta: systemctl start ramsterd"),
        ("up", "beta says nothing of its health", "on node beta: ramsterctl health"),
    ],
)
def test_a_member_that_is_down_is_started_and_one_that_is_silent_is_asked(
    state: str, summary: str, command: str
) -> None:
    cluster = AnsweringCluster(alpha=OK, beta="no link")
    cluster.states["beta"] = state
    found = json.loads(of_cluster(cluster, "-o", "json").output)["nodes"][0]["codes"][0]
    assert (found["summary"], found["command"]) == (summary, command)
