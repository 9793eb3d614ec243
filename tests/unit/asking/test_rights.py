"""What a node does for another one: every command of the daemon is in the list, and the list ends no pages."""

import ast
import re
from pathlib import Path

import pytest

from ramsterd.asking.rights import RIGHTS, Right, why_not
from tests.docs.pages import ROOT

# Where the commands of the control socket get their names.
TABLES = (
    Path("ramsterd/daemon.py"),
    Path("ramsterd/reconfigure/export_commands.py"),
    *sorted(Path("ramsterd/admin").glob("*.py")),
)
# Bound methods that are commands.
METHODS = {"ask", "add", "outcome", "remove", "resize"}
_NAME = re.compile(r"^[a-z]+(-[a-z]+)*$")


def commands_of_the_daemon() -> set[str]:
    """Return the keys of all tables of commands: those whose values are functions."""
    found = set()
    for file in TABLES:
        for each in ast.walk(ast.parse((ROOT / file).read_text())):
            if isinstance(each, ast.Dict):
                found |= {
                    key.value
                    for key, value in zip(each.keys, each.values, strict=True)
                    if isinstance(key, ast.Constant)
                    and isinstance(key.value, str)
                    and _NAME.match(key.value)
                    and is_command(value)
                }
    return found - {"ask"}


def is_command(value: ast.expr) -> bool:
    """Return whether a value is a lambda, a bound method, or a function with its first arguments."""
    if isinstance(value, ast.Lambda):
        return True
    if isinstance(value, ast.Call):
        return isinstance(value.func, ast.Name) and value.func.id == "partial"
    return isinstance(value, ast.Attribute) and value.attr in METHODS


def test_every_command_of_the_daemon_is_in_the_list() -> None:
    found = commands_of_the_daemon()
    assert len(found) > 20
    assert found == set(RIGHTS)


def test_what_ends_pages_is_for_its_own_machine() -> None:
    assert {name for name, right in RIGHTS.items() if right is Right.MACHINE} >= {
        "export-remove",
        "export-reset",
        "export-resize",
        "pool-reset",
        "node-remove",
        "stop",
    }


@pytest.mark.parametrize("has_tls", [False, True])
def test_what_shows_something_is_shown_on_every_link(*, has_tls: bool) -> None:
    assert not why_not("status", has_tls=has_tls, node="beta")


def test_what_changes_something_needs_tls() -> None:
    assert not why_not("memory-set", has_tls=True, node="beta")
    assert why_not("memory-set", has_tls=False, node="beta") == (
        "node beta does memory-set for no other node, because its links are plaintext and prove nobody's name:"
        " set [tls], or type the command on the machine of beta"
    )


@pytest.mark.parametrize("has_tls", [False, True])
def test_what_ends_pages_is_refused_on_every_link(*, has_tls: bool) -> None:
    assert why_not("stop", has_tls=has_tls, node="beta") == (
        "node beta does stop for no other node, because pages can end with it: type the command on the machine of beta"
    )


@pytest.mark.parametrize("has_tls", [False, True])
def test_what_is_not_in_the_list_is_done_for_nobody(*, has_tls: bool) -> None:
    assert why_not("explode", has_tls=has_tls, node="beta") == (
        "node beta has no command 'explode' for other nodes: type it on the machine of beta"
    )
