"""What `ramsterctl top` shows: two pictures of a node in, the lines of a screen out.  Pure.

A line that does not fit is cut; a screen that is too low loses events first, then nodes, never health.
"""

import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from rich.text import Text

from config.durations import format_duration
from config.units import human_bytes, human_count
from ramsterd.cli.format_jobs import is_over, watch_line
from ramsterd.cli.printable import printable

# As `overview` answers (ramsterd.observe.overview).
Picture: TypeAlias = dict[str, Any]

STYLES: Final = {"ok": "green", "warn": "yellow", "err": "bold red"}
STATE_STYLES: Final = {"up": "green", "down": "bold red", "left": "dim"}
# Kinds of pages as the bar has them: letter, colour, words.
KINDS: Final = {
    "own_persistent": ("P", "blue", "own"),
    "own_clean": ("C", "cyan", "own, also at peers"),
    "own_ephemeral": ("E", "green", "own ephemeral"),
    "foreign_persistent": ("p", "magenta", "of peers"),
    "foreign_ephemeral": ("e", "bright_magenta", "ephemeral of peers"),
}
# Pages a second, by line.
RATES: Final = {
    "read/s": {"get_local_pages": "here", "get_remote_pages": "from peers", "get_hole_pages": "without data"},
    "write/s": {"put_pages": "here", "remotified_pages": "to peers", "evicted_pages": "evicted"},
}  # fmt: skip
LABEL_WIDTH: Final = 8
FINDINGS_MAX: Final = 2
JOBS_MAX: Final = 3
KEYS: Final = "q quit   sort by: n name  s state  f free memory  t our pages  h its pages"
# What is left for others when there are many nodes.
NODES_MIN: Final = 3


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
    width: int = 80
    height: int = 24
    # Why there is no newer picture; empty: there is.
    problem: str = ""
    # What may be pressed; empty: there is nobody to press it.
    keys: str = KEYS


def screen(view: View) -> list[Text]:
    """Return at most `height` lines of at most `width` columns."""
    top = [_head(view), *_health(view.now), *_memory(view), *_rates(view)]
    foot = [Text(view.keys, style="dim")] if view.keys else []
    top += _jobs(view.now["jobs"])
    nodes, events = list(_nodes(view)), list(_events(view))
    free = view.height - len(top) - len(foot)
    shown_nodes = nodes[: max(NODES_MIN + 1, free - min(len(events), 5))]
    if len(shown_nodes) < len(nodes):
        shown_nodes[-1:] = [Text(f"… {len(nodes) - len(shown_nodes) + 1} more nodes", style="dim")]
    rest = free - len(shown_nodes)
    shown_events = [*events[:1], *events[1:][-(rest - 1) :]] if rest > 1 and len(events) > 1 else []
    lines = [*top, *shown_nodes, *shown_events][: view.height - len(foot)] + foot
    return [_cut(line, view.width) for line in lines]


def _cut(line: Text, width: int) -> Text:
    if line.cell_len > width:
        line.truncate(width - 1)
        line.append("…")
    return line


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


def _memory(view: View) -> Iterator[Text]:
    memory = view.now["memory"]
    budget = max(1, memory["budget_bytes"])
    text = f" {human_bytes(memory['resident_bytes'])} of {human_bytes(memory['budget_bytes'])}"
    cells = max(10, view.width - LABEL_WIDTH - len(text) - 2)
    bar = Text("[")
    for kind, (letter, style, _) in KINDS.items():
        bar.append(letter * round(cells * memory["zpage_bytes"][kind] / budget), style=style)
    bar.truncate(cells + 1)
    yield Text.assemble(f"{'memory':<{LABEL_WIDTH}}", bar, "." * (cells + 1 - len(bar)), "]", text)
    line = Text(f"{'':<{LABEL_WIDTH}}{human_count(memory['remote_pages'])} at peers   ")
    for kind, (letter, style, words) in KINDS.items():
        if memory["pages"][kind]:
            line.append(f"{letter} ", style=style)
            line.append(f"{human_bytes(memory['zpage_bytes'][kind])} {words}   ")
    yield line


def _rates(view: View) -> Iterator[Text]:
    for label, rates in RATES.items():
        line = Text(f"{label:<{LABEL_WIDTH}}")
        for name, words in rates.items():
            line.append(_rate(view, name), style="bold")
            line.append(f" {words}   ")
        yield line


def _rate(view: View, name: str) -> str:
    if view.before is None:
        return "-"
    seconds = view.now["at"] - view.before["at"]
    pages = view.now["totals"][name] - view.before["totals"][name]
    # Fewer than before: the daemon has started anew.
    return f"{pages / seconds:,.0f}" if seconds > 0 and pages >= 0 else "-"


def _jobs(jobs: Sequence[dict[str, Any]]) -> Iterator[Text]:
    """Yield those that go on: how one ended is an event."""
    live = [job for job in jobs if not is_over(job)]
    for job in live[:JOBS_MAX]:
        style = "" if job["state"] == "running" else "yellow"
        yield Text.assemble(f"{'job':<{LABEL_WIDTH}}", (printable(watch_line(job)), style))
    if len(live) > JOBS_MAX:
        yield Text(f"  … {len(live) - JOBS_MAX} more: ramsterctl jobs", style="dim")


def _nodes(view: View) -> Iterator[Text]:
    yield Text(
        f"{'NODE':<20} {'STATE':<12} {'FREE':>10} {'OF':>10} {'OUR PAGES':>11} {'ITS PAGES':>11}", style="reverse"
    )  # fmt: skip
    for node in sorted(view.now["nodes"], key=lambda each: _rank(each, view.order)):
        name = f"{node['name']} (here)" if node["is_local"] else node["name"]
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
            f"{name:<20.20} ", (f"{state:<12}", style),
            f" {sizes[0]:>10} {sizes[1]:>10} {pages[0]:>11} {pages[1]:>11}",
        )  # fmt: skip


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
    if not view.events:
        return
    yield Text("EVENTS", style="reverse")
    for event in view.events:
        at = datetime.fromisoformat(event["time"])
        style = {"warning": "yellow", "error": "bold red"}.get(event["severity"], "")
        yield Text.assemble((f"{at:%H:%M:%S}  ", "dim"), (printable(event["text"]), style))
