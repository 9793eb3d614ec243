"""`ramsterctl node`: what it asks for, what it prints."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ramsterd.cli import node
from ramsterd.cli.node import node_group
from ramsterd.cli.target import Target

TARGET = Target(Path("socket"))

NODE = {"number": 4, "name": "delta", "address": "10.0.0.4", "port": 7700}


def done(state: str, **more: object) -> dict[str, object]:
    return {
        "state": state,
        "is_changed": True,
        "node": NODE,
        "membership_version": 7,
        "membership_origin": "beta",
        **more,
    }


def written(unwritten: str = "", *, is_writing: bool = False) -> dict[str, object]:
    return {"is_writing": is_writing, "unwritten": unwritten}


class Daemon:
    """Answers what it was told to, and keeps what it was asked."""

    def __init__(self, *answers: dict[str, object]) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, dict[str, Any]]] = []
        # What it says of its file, call by call; the last one for good.
        self.written = [written()]

    def ask(self, target: Target, command: str, **arguments: Any) -> Any:
        if command == "membership":
            return self.written.pop(0) if len(self.written) > 1 else self.written[0]
        self.asked.append((command, arguments))
        return self.answers.pop(0)

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(node_group(self.ask), arguments, obj=TARGET)


def test_add_hands_over_a_node_table() -> None:
    daemon = Daemon(done("added"))
    result = daemon.run(
        "add", "--number", "4", "--name", "delta", "--address", "10.0.0.4", "--zone", "rack2"
    )
    assert result.output == (
        "node delta (4) at 10.0.0.4:7700 is added\nmembership version 7, changed at node beta\n"
    )
    ((command, arguments),) = daemon.asked
    assert command == "node-add"
    assert arguments["node"] == NODE | {"zone": "rack2"}


@pytest.mark.parametrize("command", ["cordon", "uncordon"])
def test_cordon_and_uncordon_name_a_node(command: str) -> None:
    daemon = Daemon(done(f"{command}ed"))
    result = daemon.run(command, "delta", "-o", "json")
    assert json.loads(result.output)["state"] == f"{command}ed"
    assert daemon.asked == [(f"node-{command}", {"name": "delta"})]


def test_remove_asks_until_there_is_an_answer_and_warns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node, "POLL_SECONDS", 0)
    asking: dict[str, object] = {"state": "asking", "node": "delta", "waits_for": ["beta"]}
    loss = "8 pages of alpha are at delta"
    removed = done("removed", lost=[loss], not_asked=["gamma"], warnings=["one copy"])
    daemon = Daemon(asking, asking, removed)
    result = daemon.run("remove", "delta", "--force")
    assert result.exit_code == 0
    assert result.stderr == (
        f"warning: lost: {loss}\nwarning: not asked, because they have no link to this node: gamma\n"
        "warning: one copy\n"
    )
    assert "is removed" in result.stdout
    assert daemon.asked == [("node-remove", {"name": "delta", "force": True})] * 3


@pytest.mark.parametrize(
    ("arguments", "teaches"),
    [
        ((), "a node that is down gets the change when it is up again"),
        (("add",), "copy cluster.toml from any member"),
        (("remove",), "it stays a member (cordoned)"),
        (("cordon",), "Pages that it holds stay there"),
        (("uncordon",), "undo `cordon`"),
    ],
)
def test_help_teaches(arguments: tuple[str, ...], teaches: str) -> None:
    result = Daemon().run(*arguments, "--help")
    assert result.exit_code == 0
    assert teaches in " ".join(result.output.split())


def test_what_is_missing_is_wrong_usage() -> None:
    result = Daemon().run("add", "--name", "delta")
    assert result.exit_code == 2
    assert "--number" in result.output


def drain_answer(
    state: str, foreign: int | None, own: int | None = 0, *warnings: str, owned: int = 0
) -> dict[str, object]:
    numbers = {"pages_foreign": foreign, "pages_own_elsewhere": own}
    numbers |= {"pages_owned": owned, "clients": 1}
    return done(state, is_reached=True, **numbers, warnings=list(warnings))


@pytest.fixture
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node, "DRAIN_POLL_SECONDS", 0)


def test_drain_begins_and_returns() -> None:
    daemon = Daemon(drain_answer("draining", 12))
    result = daemon.run("drain", "delta")
    assert result.exit_code == 0
    assert "is draining" in result.output
    assert daemon.asked == [("node-drain", {"name": "delta"})]


@pytest.mark.usefixtures("_no_pause")
def test_drain_waits_with_progress() -> None:
    answers = [drain_answer("draining", pages) for pages in (12, 5)]
    daemon = Daemon(*answers, drain_answer("drained", 0))
    result = daemon.run("drain", "delta", "--wait")
    assert result.exit_code == 0
    assert [line.split()[1] for line in result.stderr.splitlines()] == ["12", "5"]
    assert "is drained" in result.stdout


@pytest.mark.usefixtures("_no_pause")
def test_a_drain_that_stands_still_is_told_once() -> None:
    answers = [drain_answer("draining", pages) for pages in (1200,) * 20 + (5, 5)]
    result = Daemon(*answers, drain_answer("drained", 0)).run("drain", "delta", "--wait")
    assert [line.split()[1] for line in result.stderr.splitlines()] == ["1,200", "5"]
    assert result.stdout.splitlines()[-1] == (
        "next: stop ramsterd on delta, or `ramsterctl node remove delta`; `ramsterctl node uncordon delta` gives it pages"
        " again"
    )


def test_a_drain_ends_with_what_a_stop_ends() -> None:
    result = Daemon(drain_answer("drained", 0, owned=25_600)).run("drain", "delta", "--wait")
    assert result.exit_code == 0
    assert result.stderr.endswith(
        "warning: node delta still owns 25,600 pages (1 client connected): these pages are lost when ramsterd stops, unless [memory]"
        " keep names a folder there\n"
    )


@pytest.mark.usefixtures("_no_pause")
def test_drain_says_once_that_it_asks() -> None:
    unheard = [drain_answer("draining", None, None)] * 3
    result = Daemon(*unheard, drain_answer("drained", 0)).run("drain", "delta", "--wait")
    assert result.stderr == "asking delta how many pages it keeps\n"


@pytest.mark.usefixtures("_no_pause")
def test_fewer_copies_are_said_once_and_stand_in_the_json() -> None:
    answers = (
        drain_answer("draining", 12, 0, "one copy"),
        drain_answer("drained", 0, 0, "one copy"),
    )
    result = Daemon(*answers).run("drain", "delta", "--wait")
    assert result.stderr.count("warning: one copy\n") == 1
    assert result.stderr.startswith("warning: one copy\n"), "before pages have moved"
    result = Daemon(*answers).run("drain", "delta", "--wait", "-o", "json")
    assert json.loads(result.stdout)["warnings"] == ["one copy"]


def test_drain_gives_up_waiting() -> None:
    result = Daemon(drain_answer("draining", 12)).run("drain", "delta", "--wait", "--timeout", "0")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == (
        "ramsterctl: not drained within 0 s: delta: 12 pages of other nodes are still there\n"
    )


def test_at_the_timeout_the_last_answer_is_there_as_json() -> None:
    answer = drain_answer("draining", 12)
    result = Daemon(answer).run("drain", "delta", "--wait", "--timeout", "0", "-o", "json")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == answer | {"unwritten": ""}


def test_a_timeout_with_nothing_of_others_left_is_a_drain() -> None:
    daemon = Daemon(drain_answer("drained", 0, 7))
    result = daemon.run("drain", "delta", "--wait", "--timeout", "0")
    assert result.exit_code == 0
    assert "7 pages of delta itself stay at its peers" in result.stdout


def test_interrupted_waiting_says_how_to_call_the_drain_off() -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    arguments = ("drain", "delta", "--wait")
    result = CliRunner().invoke(node_group(interrupted), arguments, obj=TARGET)
    assert result.exit_code == 130
    assert result.stderr == (
        "ramsterctl: the drain of delta continues; `ramsterctl node uncordon delta` ends it\n"
    )


@pytest.mark.parametrize("command", ["cordon", "uncordon"])
def test_to_say_it_twice_is_said_and_no_error(command: str) -> None:
    result = Daemon(done(f"{command}ed") | {"is_changed": False}).run(command, "delta")
    assert result.exit_code == 0
    assert f"is {command}ed already\n" in result.stdout


FULL = "cluster.toml: found no space left on device, expected room"
ADD = ("add", "--number", "4", "--name", "delta", "--address", "10.0.0.4")


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (ADD, done("added")),
        (("cordon", "delta"), done("cordoned")),
        (("remove", "delta"), done("removed", lost=[], not_asked=[], warnings=[])),
        (("drain", "delta"), drain_answer("draining", 12)),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_what_this_node_could_not_write_is_an_error(
    arguments: tuple[str, ...], answer: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node, "POLL_SECONDS", 0)
    results = []
    for more in (
        (),
        (
            "-o",
            "json",
        ),
    ):
        daemon = Daemon(answer)
        daemon.written = [written(is_writing=True), written(is_writing=True), written(FULL)]
        results.append(daemon.run(*arguments, *more))
    for result in results:
        assert result.exit_code == 1
        assert result.stderr == (
            f"ramsterctl: the change is in force, but cluster.toml of this node does not have it: {FULL};"
            " remove the cause, then run `ramsterctl config reload` or repeat the command\n"
        )
        assert "delta" in result.stdout
    assert json.loads(results[1].stdout)["unwritten"] == FULL


def test_a_drain_that_is_late_and_unwritten_says_both() -> None:
    daemon = Daemon(drain_answer("draining", 12))
    daemon.written = [written(FULL)]
    result = daemon.run("drain", "delta", "--wait", "--timeout", "0")
    assert result.exit_code == 1
    assert "not drained within 0 s" in result.stderr
    assert FULL in result.stderr


def test_a_disk_that_takes_long_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node, "WRITE_SECONDS_MAX", 0)
    daemon = Daemon(done("cordoned"))
    daemon.written = [written(is_writing=True)]
    result = daemon.run("cordon", "delta")
    assert result.exit_code == 1
    assert "does not have it: the disk has not answered for 0 s" in result.stderr
