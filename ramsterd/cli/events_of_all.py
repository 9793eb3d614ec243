"""`ramsterctl events --cluster`: every member is asked for its events page after page, and then again and again."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import click

from ramsterd.cli.ask import NODES_AT_ONCE, Ask, AskEach, AskFailed, try_ask
from ramsterd.cli.event_merge import EventMerge
from ramsterd.cli.format_events import event_json_of, event_line_of, head_of_many, silence_json_of
from ramsterd.cli.gather import (
    AGAIN_AT_ONCE,
    Told,
    ask_nodes,
    end_unless_all,
    member_names,
    round_seconds,
)
from ramsterd.cli.output import tell
from ramsterd.cli.target import Target

POLL_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Asking:
    """Who is asked, how, how many at once, and for which events."""

    ask_each: AskEach
    at_hand: Target
    wanted: Mapping[str, object]
    at_once: int


def show_all(
    ask: Ask, ask_each: AskEach, target: Target, wanted: Mapping[str, object], *, is_json: bool
) -> None:
    """Print the events of all members; end with status 1 if one of them says nothing."""
    asking = Asking(ask_each, replace(target, is_cluster=False), wanted, NODES_AT_ONCE)
    names = member_names(ask, asking.at_hand)
    merge = _begin(names, is_json=is_json)
    _print_round(asking, merge, names)
    silent = [Told(name, problem=why) for name, why in merge.silent().items()]
    if is_json:
        for each in silent:
            click.echo(silence_json_of(each.node, each.problem))
    end_unless_all(silent)


def follow_all(
    ask: Ask, ask_each: AskEach, target: Target, wanted: Mapping[str, object], *, is_json: bool
) -> None:
    """Print them, and then new ones until interrupted; members that join meanwhile are asked, too."""
    asking = Asking(ask_each, replace(target, is_cluster=False), wanted, AGAIN_AT_ONCE)
    names = member_names(ask, asking.at_hand)
    merge = _begin(names, is_json=is_json)
    while True:
        _print_round(asking, merge, names)
        merge.tell_silent()
        names = _wait_members(asking, len(names))


def _begin(names: Sequence[str], *, is_json: bool) -> EventMerge:
    if is_json:
        return EventMerge(event_json_of, tell)
    width = max(map(len, ("NODE", *names)))
    click.echo(head_of_many(width))
    return EventMerge(partial(event_line_of, width=width), tell)


def _print_round(asking: Asking, merge: EventMerge, names: Sequence[str]) -> None:
    """Print all events that there are by now."""
    merge.begin_round(names)
    while wanted := merge.wanted():
        requests = {
            name: {"command": "events", "after": after, **asking.wanted}
            for name, after in wanted.items()
        }
        for told in ask_nodes(asking.ask_each, asking.at_hand, requests, at_once=asking.at_once):
            if told.problem:
                merge.on_no_answer(told.node, told.problem)
            else:
                merge.on_answer(told.node, told.result)
        if not merge.wanted():
            for line in merge.lines():
                click.echo(line)


def _wait_members(asking: Asking, members: int) -> list[str]:
    """Wait for the next round, and for the daemon at hand; return the names of all members."""
    problem = ""
    while True:
        time.sleep(round_seconds(POLL_SECONDS, members))
        try:
            names = member_names(try_ask, asking.at_hand)
        except AskFailed as failed:
            if not problem:
                tell(f"{failed}; waiting for it")
            problem = str(failed)
            continue
        if problem:
            tell("ramsterd answers again")
        return names
