"""Asking every member beside each other, within a deadline, and showing what they say."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from ramsterd.cli.ask import NODES_AT_ONCE, Ask, AskEach, AskFailed, Request
from ramsterd.cli.output import Output, show, show_json, show_text, tell
from ramsterd.cli.target import Target

# So many questions a second asks who asks all members again and again (`top`, `events --follow`):
# 64 members have their turn every 4 s.  With so many, on a machine of two cores, a question for an
# `overview` took 0.9 ms of the node at hand and 3.2 ms of the one that answers: 1.4 % of the one
# processor that a daemon has, and 0.1 % (docs/design/0018-asking-other-nodes.md).
QUESTIONS_PER_SECOND_MAX: Final = 16
# And so many at once: half of what a node has under way is for other operators.
AGAIN_AT_ONCE: Final = NODES_AT_ONCE // 2
# What a text of a result raises if the result is none that this program knows.
UNKNOWN_SHAPE: Final = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
# The hint of commands that have an option for JSON.
UNKNOWN_SHAPE_TEXT: Final = (
    "this program can't show what it says: compare `ramsterctl version`, or use -o json"
)


@dataclass(frozen=True, slots=True)
class Told:
    """What a node said, or why it said nothing."""

    node: str
    result: Any = None
    problem: str = ""


# Makes a text of results; the names of their nodes, if several were asked, else nothing.
TextOf = Callable[[Sequence[Any], Sequence[str]], str]


def ask_members(
    ask: Ask, ask_each: AskEach, target: Target, command: str, **arguments: object
) -> list[Told]:
    """Return what every member says to a command, in the order of their numbers."""
    at_hand = replace(target, is_cluster=False)
    request = {"command": command, **arguments}
    names = member_names(ask, at_hand)
    return ask_nodes(ask_each, at_hand, dict.fromkeys(names, request))


def member_names(ask: Ask, at_hand: Target) -> list[str]:
    """Return the names of all members, in the order of their numbers."""
    return [row["config"]["name"] for row in ask(at_hand, "nodes")]


def ask_nodes(
    ask_each: AskEach, at_hand: Target, requests: Mapping[str, Request], **limits: float
) -> list[Told]:
    """Return what nodes say, each to its own request."""
    said = ask_each(at_hand, requests, **limits)
    return [
        Told(name, problem=str(each)) if isinstance(each, AskFailed) else Told(name, each)
        for name, each in zip(requests, said, strict=True)
    ]


def round_seconds(least: float, members: int) -> float:
    """Return how often all members are asked by who asks again and again: not more often than `least`."""
    return max(least, members / QUESTIONS_PER_SECOND_MAX)


def show_answers(
    ask: Ask,
    ask_each: AskEach,
    target: Target,
    output: Output,
    command: str,
    text_of: TextOf,
    *,
    pick: Callable[[Any], Any] = lambda result: result,
) -> None:
    """Print what one node says to a command, or every member: JSON by name, or a text of all.

    `pick` takes out of a result what JSON has.  Without an answer of all members the command ends
    with status 1, and a line for each that said nothing.
    """
    if not target.is_cluster:
        result = ask(target, command)
        show(pick(result) if output.is_json else result, output, lambda it: text_of([it], ()))
        return
    told = ask_members(ask, ask_each, target, command)
    if not output.is_json:
        told = [_showable(each, text_of) for each in told]
    heard = [each for each in told if not each.problem]
    if output.is_json:
        show_json(
            {
                each.node: {"error": each.problem} if each.problem else pick(each.result)
                for each in told
            }
        )
    elif heard:
        show_text(text_of([each.result for each in heard], [each.node for each in heard]))
    end_unless_all(told)


def _showable(told: Told, text_of: TextOf) -> Told:
    """Return what a node said, or that it can't be shown: ramsterd may be of another version there."""
    try:
        if not told.problem:
            text_of([told.result], [told.node])
    except UNKNOWN_SHAPE:
        return Told(told.node, problem=UNKNOWN_SHAPE_TEXT)
    return told


def end_unless_all(told: Sequence[Told]) -> None:
    """End with status 1, and a line for each node that said nothing, if there is one."""
    silent = [each for each in told if each.problem]
    for each in silent:
        tell(f"{each.node}: {each.problem}")
    if silent:
        raise SystemExit(1)


def blocks_of(line_of: Callable[[Any], str]) -> TextOf:
    """Return what makes a block of text for each node, with its name above if there are several."""

    def text_of(results: Sequence[Any], nodes: Sequence[str]) -> str:
        if not nodes:
            return line_of(results[0])
        return "\n\n".join(
            f"node {node}\n{line_of(result)}" for node, result in zip(nodes, results, strict=True)
        )

    return text_of


def table_of(table: Callable[..., str], output: Output) -> TextOf:
    """Return what makes one table of the rows of all nodes; `table` takes them, `is_wide` and `nodes`."""

    def text_of(results: Sequence[Any], nodes: Sequence[str]) -> str:
        rows, of = rows_of(results, nodes)
        return table(rows, is_wide=output.is_wide, nodes=of)

    return text_of


def rows_of(results: Sequence[Sequence[Any]], nodes: Sequence[str]) -> tuple[list[Any], list[str]]:
    """Return the rows of all results, and the node of each, if several were asked."""
    rows = [row for result in results for row in result]
    of = (
        [node for node, result in zip(nodes, results, strict=True) for _ in result] if nodes else []
    )
    return rows, of
