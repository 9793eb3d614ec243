"""`ramsterctl node`: what it asks for, what it prints."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ramsterd.cli import membership_file, node
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
        (("drain", "delta", "--detach"), done("draining", warnings=[], job="drain-7")),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_what_this_node_could_not_write_is_an_error(
    arguments: tuple[str, ...], answer: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(membership_file, "POLL_SECONDS", 0)
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


def test_a_disk_that_takes_long_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(membership_file, "WRITE_SECONDS_MAX", 0)
    daemon = Daemon(done("cordoned"))
    daemon.written = [written(is_writing=True)]
    result = daemon.run("cordon", "delta")
    assert result.exit_code == 1
    assert "does not have it: the disk has not answered for 0 s" in result.stderr


def test_a_member_is_moved_by_address_by_port_or_both() -> None:
    daemon = Daemon(done("moved", warnings=["delta has no link to this node"]))
    result = daemon.run("set", "delta", "--address", "10.0.1.4")
    assert result.exit_code == 0
    assert result.stdout.startswith("node delta (4) at 10.0.0.4:7700 is moved\n")
    assert "warning: delta has no link to this node" in result.stderr
    assert daemon.asked[0] == ("node-set", {"name": "delta", "address": "10.0.1.4", "port": None})


def test_a_move_says_where_to() -> None:
    result = Daemon().run("set", "delta")
    assert result.exit_code == 2
    assert "found no option, expected --address, --port or both" in result.stderr
