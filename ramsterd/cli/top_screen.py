"""What `ramsterctl top` shows of one node: two pictures of it in, the lines of a screen out.  Pure."""

import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from rich.text import Text

from config.durations import format_duration
from config.units import human_bytes, human_count
from ramsterd.cli.printable import printable
from ramsterd.cli.top_parts import (
    FINDINGS_MAX,
    LABEL_WIDTH,
    STYLES,
    Picture,
    event_line,
    fitted,
    job_lines,
    latency_lines,
    memory_lines,
    name_column,
    note_lines,
    rate_between,
    rate_lines,
    waits_between,
)

STATE_STYLES: Final = {"up": "green", "down": "bold red", "left": "dim"}
NAME_CELLS: Final = 20
KEYS: Final = "q quit   sort by: n name  s state  f free memory  t our pages  h its pages"


class Order(enum.Enum):
    """By what nodes are sorted; the value is the key to press."""

    NAME = "n"
    STATE = "s"
    FREE = "f"
    THERE = "t"
    HERE = "h"


@dataclass(frozen=True, slots=True)
class View:
    """What there is to show, and on how much room."""

    # None: there is only one picture yet.
    before: Picture | None
    now: Picture
    # The newest last.
    events: Sequence[dict[str, Any]] = ()
    order: Order = Order.NAME
    # None: no line is cut.
    width: int | None = 80
    height: int = 24
    # Why there is no newer picture; empty: there is.
    problem: str = ""
    # What may be pressed; empty: there is nobody to press it.
    keys: str = KEYS


def screen(view: View) -> list[Text]:
    """Return at most `height` lines of at most `width` columns, if there is a width."""
    before, now = view.before, view.now
    top = [
        _head(view),
        *_health(now),
        *memory_lines(now["memory"], view.width),
        *rate_lines(partial(rate_between, before, now)),
        *latency_lines(partial(waits_between, before, now)),
        *job_lines(now["jobs"]),
    ]
    return fitted(
        top, list(_nodes(view)), list(_events(view)),
        keys=view.keys, noun="nodes", width=view.width, height=view.height,
    )  # fmt: skip


def _head(view: View) -> Text:
    now = view.now
    at = datetime.fromtimestamp(now["at"], UTC)
    what = f"ramster {now['version']}, up {format_duration(now['uptime_seconds'])}, {human_count(now['clients'], 'client')}"
    line = Text.assemble(
        (f"{now['cluster']} / {now['node']}", "bold"), f"   {what}   {at:%H:%M:%S} UTC"
    )
    if view.problem:
        line = Text(f"OLD, of {at:%H:%M:%S} UTC: {printable(view.problem)}", style="bold red")
    return line


def _health(now: Picture) -> Iterator[Text]:
    health = now["health"]
    tolerance = human_count(health["failure_tolerance_nodes"], "node")
    style = STYLES[health["severity"]]
    yield Text.assemble(
        (f"{health['severity'].upper():<{LABEL_WIDTH}}", style), f"failure tolerance: {tolerance}"
    )
    for each in health["codes"][:FINDINGS_MAX]:
        muted = " (muted)" if each["muted_seconds"] else ""
        code = (f"{each['code']}{muted}", STYLES[each["severity"]])
        yield Text.assemble("  ", code, f": {printable(each['summary'])}")
        yield Text(f"    type: {printable(each['command'])}")
    if len(health["codes"]) > FINDINGS_MAX:
        yield Text(
            f"  … {len(health['codes']) - FINDINGS_MAX} more: ramsterctl health", style="dim"
        )
    yield from note_lines([health], "ramsterctl health")


def _nodes(view: View) -> Iterator[Text]:
    names = {each["name"]: _shown_name(each) for each in view.now["nodes"]}
    fit = name_column(names.values(), NAME_CELLS, view.width)
    yield Text(
        f"{fit('NODE')} {'STATE':<12} {'FREE':>10} {'OF':>10} {'OUR PAGES':>11} {'ITS PAGES':>11}", style="reverse"
    )  # fmt: skip
    for node in sorted(view.now["nodes"], key=lambda each: _rank(each, view.order)):
        lacks_link = node["state"] == "up" and not (node["is_local"] or node["is_linked"])
        state = (
            "no link"
            if lacks_link
            else "cordoned"
            if node["is_cordoned"] and node["state"] == "up"
            else node["state"]
        )
        style = "yellow" if lacks_link else STATE_STYLES.get(node["state"], "yellow")
        sizes = ("-", "-")
        if node["budget_bytes"] is not None:
            sizes = (human_bytes(node["free_bytes"]), human_bytes(node["budget_bytes"]))
        pages = (
            ("-", "-")
            if node["is_local"]
            else (f"{node['pages_there']:,}", f"{node['pages_here']:,}")
        )
        yield Text.assemble(
            f"{fit(names[node['name']])} ", (f"{state:<12}", style),
            f" {sizes[0]:>10} {sizes[1]:>10} {pages[0]:>11} {pages[1]:>11}",
        )  # fmt: skip


def _shown_name(node: dict[str, Any]) -> str:
    return f"{node['name']} (here)" if node["is_local"] else str(node["name"])


def _rank(node: dict[str, Any], order: Order) -> tuple[object, ...]:
    """Return what a node is sorted by: what an operator looks for comes first."""
    match order:
        case Order.NAME:
            return (node["name"],)
        case Order.STATE:
            return (node["state"] == "up" and (node["is_linked"] or node["is_local"]), node["name"])
        case Order.FREE:
            return (node["free_bytes"] is None, node["free_bytes"] or 0, node["name"])
        case Order.THERE:
            return (-node["pages_there"], node["name"])
        case Order.HERE:
            return (-node["pages_here"], node["name"])


def _events(view: View) -> Iterator[Text]:
    if view.events:
        yield Text("EVENTS", style="reverse")
        yield from map(event_line, view.events)
