"""The page is read as what was typed and printed, and compared but for what differs at each run."""

import pytest

from tests.docs.pages import TRANSCRIPT, blocks
from tests.helpers.command_lines import check_line
from tests.walkthrough.likeness import difference, is_like, refreshed
from tests.walkthrough.page import BadPage, Typed, commands, parse, with_commands
from tests.walkthrough.replay import PAGE

PAGE_TEXT = """\
# A page

```console
n1# one \\
    two
printed

n1, n2# three 'of
four'
```

```
n1# not a transcript
```
"""
ONE = Typed(("n1",), "one \\\n    two", ("printed", ""))


def test_a_block_is_what_was_typed_and_printed() -> None:
    assert commands(PAGE_TEXT) == [ONE, Typed(("n1", "n2"), "three 'of\nfour'")]


def test_a_page_with_the_commands_that_it_has_stays_as_it_is() -> None:
    assert with_commands(PAGE_TEXT, commands(PAGE_TEXT)) == PAGE_TEXT


def test_new_lines_get_into_their_places() -> None:
    first, second = commands(PAGE_TEXT)
    new = with_commands(PAGE_TEXT, [first, second.with_printed(("more",))])
    assert new == PAGE_TEXT.replace("four'\n", "four'\nmore\n")


@pytest.mark.parametrize("block", ["printed\nn1# one\n", "n9# one\n"])
def test_a_block_that_begins_without_a_prompt_is_refused(block: str) -> None:
    with pytest.raises(BadPage, match="expected a prompt"):
        list(parse(block))


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("at 2026-03-01 09:30:00 it took 1.5 s", "at 2027-01-01 00:00:01 it took 912 ms"),
        ("4,192 pages, 14.2 MiB", "812 pages, 3 MiB"),
        ("NAME  STATE", "NAME      STATE"),
        ("a reason: …; see there", "a reason: who knows; see there"),
    ],
)
def test_what_varies_is_alike(shown: str, printed: str) -> None:
    assert is_like([shown], [printed])
    assert difference([shown], [shown]) == ""


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("NODE_DOWN 1 of 2 other nodes is down", "NODE_DOWN 2 of 2 other nodes is down"),
        ("--budget 64MiB", "--budget 32MiB"),
        ("0 errors", "1 error"),
        ("a reason: …; see there", "a reason: who knows; see here"),
    ],
)
def test_what_an_operator_acts_on_is_not(shown: str, printed: str) -> None:
    assert not is_like([shown], [printed])
    assert f"-{shown}" in difference([shown], [printed])


@pytest.mark.parametrize("rest", ["", ": …"])
def test_clients_wait_for_30_seconds_at_most(rest: str) -> None:
    begin = "the daemon serves again after"
    shown = f"{begin} 2.35 s{rest}"
    for soon in ("912 ms", "0.4 s", "29.9 s", "30 s"):
        assert is_like([shown], [f"{begin} {soon}{rest}"]), soon
    for late in ("30.1 s", "45 s", "112 s", "1,112 s", "2 min"):
        assert not is_like([shown], [f"{begin} {late}{rest}"]), late


def test_lines_that_are_left_out_may_be_any() -> None:
    assert is_like(["first", "…", "last"], ["first", "last"])
    assert is_like(["first", "…", "last"], ["first", "second", "last", "last"])
    assert is_like(["…"], [])
    assert not is_like(["first", "…", "last"], ["first", "last", "more"])
    assert not is_like(["…", "last"], ["first"])


def test_figures_become_those_of_a_new_run_and_what_is_left_out_stays_so() -> None:
    shown = ["first, 812 pages", "…", "beta: …; 4.0 s,  812 pages …", "last"]
    printed = ["first, 7 pages", "second", "beta: gone; 12 s, 7 pages more", "last"]
    assert refreshed(shown, printed) == ("first, 7 pages", "…", "beta: …; 12 s, 7 pages …", "last")
    assert refreshed(shown, [*printed, "more"]) is None
    assert refreshed(shown, ["first, 0 pages", *printed[1:]]) is None


@pytest.mark.parametrize(
    ("command", "printed", "status"),
    [
        ("ramsterctl health", "OK     failure tolerance: 1 node", 0),
        ("ramsterctl health", "WARN   failure tolerance: 0 nodes\nERR    is no head", 1),
        ("ramsterctl health --cluster", "ERR    3 nodes: 2 OK, 1 ERR", 2),
        ("ramsterctl doctor", "…\n… checks: 0 errors, 0 warnings, … ok", 0),
        ("ramsterctl doctor", "…\n20 checks: 0 errors, 1 warning, 19 ok", 1),
        ("ramsterctl doctor", "…\n20 checks: 1 error, 12 warnings, 7 ok", 2),
        ("ramsterctl nodes", "WARN", 0),
        ("promtool query instant x", "", 0),
    ],
)
def test_an_exit_status_is_that_of_what_is_shown(command: str, printed: str, status: int) -> None:
    assert Typed(("n1",), command, tuple(printed.splitlines())).status == status


@pytest.mark.parametrize(
    ("command", "printed"),
    [
        ("ramsterctl health", ()),
        ("ramsterctl health", ("…",)),
        ("ramsterctl doctor", ("…",)),
        ("ramsterctl doctor", ("… checks: …",)),
    ],
)
def test_a_page_that_leaves_out_what_a_status_says_is_refused(
    command: str, printed: tuple[str, ...]
) -> None:
    with pytest.raises(BadPage, match="with which status"):
        _ = Typed(("n1",), command, printed).status


def test_every_line_of_the_page_has_a_status() -> None:
    ends = {(typed.command, typed.status) for typed in commands(PAGE.read_text())}
    # All that is shown of health and of doctor: what is well, and what is not.
    assert {("ramsterctl health", 0), ("ramsterctl health", 1)} <= ends
    assert {("ramsterctl doctor", 0), ("ramsterctl doctor", 1)} <= ends


def test_every_transcript_of_the_page_is_one() -> None:
    text = PAGE.read_text()
    assert commands(text)
    assert with_commands(text, commands(text)) == text
    # No block of it is left out by mistake.
    assert text.count("\n```\n") == len(blocks(text, TRANSCRIPT))


def test_every_command_of_the_page_exists_and_takes_its_options() -> None:
    """Where nobody may type them."""
    for typed in commands(PAGE.read_text()):
        line = typed.command.replace("\\\n", " ")
        if line.startswith(("ramsterctl ", "ramsterd ")):
            check_line(line, is_whole=True)
