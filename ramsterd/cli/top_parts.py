"""What the screens of `ramsterctl top` share: lines of pictures, and how many of them fit.  Pure.

A picture is what `overview` answers (`ramsterd.observe.overview`).  A line that does not fit is cut; a
screen that is too low loses events first, then rows, never health.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeAlias

from rich.text import Text

from config.units import human_bytes, human_count
from ramsterd.cli.format_bench import human_latency
from ramsterd.cli.format_jobs import is_over, watch_line
from ramsterd.cli.printable import printable
from ramsterd.host.latency import LATENCY_BUCKETS, percentile_end

Picture: TypeAlias = dict[str, Any]

# What an overview has since a later version, with the value that says: this daemon does not tell.
# A cluster whose nodes are upgraded one after the other has daemons of two versions.
UNTOLD: Final[Picture] = {"jobs": [], "latency": None, "events_total": None}

STYLES: Final = {"ok": "green", "warn": "yellow", "err": "bold red"}
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
# How long clients waited, by line: by what their requests needed.
LATENCIES: Final = {
    "read": {"read_local": "here", "read_peer": "with peers"},
    "write": {"write_local": "here", "write_peer": "with peers"},
}
PERCENTILES: Final = (0.5, 0.99)
LABEL_WIDTH: Final = 8
FINDINGS_MAX: Final = 2
NOTES_MAX: Final = 2
JOBS_MAX: Final = 3
# How wide bars and names are where lines are not cut.
UNCUT_WIDTH: Final = 80
# What is left for others when there are many rows.
ROWS_MIN: Final = 3
EVENTS_MIN: Final = 5


def picture_of(told: Any) -> Picture:
    """Return what `overview` answered as a picture, in which nothing of `UNTOLD` is missing.

    Raises:
        TypeError: It is no overview at all.
    """
    return {**UNTOLD, **told}


def fitted(
    top: Sequence[Text],
    rows: Sequence[Text],
    events: Sequence[Text],
    *,
    keys: str,
    noun: str,
    width: int | None,
    height: int,
) -> list[Text]:
    """Return at most `height` lines of at most `width` columns; rows and events begin with a head.

    Without a width no line is cut.
    """
    foot = [Text(keys, style="dim")] if keys else []
    free = height - len(top) - len(foot)
    shown = list(rows[: max(ROWS_MIN + 1, free - min(len(events), EVENTS_MIN))])
    if len(shown) < len(rows):
        shown[-1:] = [Text(f"… {len(rows) - len(shown) + 1} more {noun}", style="dim")]
    rest = free - len(shown)
    newest = [*events[:1], *events[1:][-(rest - 1) :]] if rest > 1 and len(events) > 1 else []
    lines = [*top, *shown, *newest][: height - len(foot)] + foot
    return [_cut(line, width) for line in lines]


def _cut(line: Text, width: int | None) -> Text:
    if width is not None and line.cell_len > width:
        line.truncate(width - 1)
        line.append("…")
    return line


def note_lines(healths: Iterable[Mapping[str, Any]], command: str) -> Iterator[Text]:
    """Yield what nodes note of members that get no new pages, each line once; `command` shows all.

    Nodes of an earlier version note nothing.
    """
    notes = list(dict.fromkeys(note for each in healths for note in each.get("notes", [])))
    for note in notes[:NOTES_MAX]:
        yield Text(f"  {printable(note)}")
    if len(notes) > NOTES_MAX:
        yield Text(f"  … {len(notes) - NOTES_MAX} more: {command}", style="dim")


def name_column(names: Iterable[str], cells: int, width: int | None) -> Callable[[str], str]:
    """Return what fits names into a column of so many cells; without a width none is cut."""
    if width is None:
        cells = max((cells, *map(len, names)))
    return lambda name: f"{name:<{cells}.{cells}}"


def memory_lines(memory: Mapping[str, Any], width: int | None) -> Iterator[Text]:
    """Yield a bar by kind of page, and what its letters are."""
    text = f" {human_bytes(memory['resident_bytes'])} of {human_bytes(memory['budget_bytes'])}"
    cells = max(10, (UNCUT_WIDTH if width is None else width) - LABEL_WIDTH - len(text) - 2)
    yield Text.assemble(f"{'memory':<{LABEL_WIDTH}}", bar(memory, cells), text)
    line = Text(f"{'':<{LABEL_WIDTH}}{human_count(memory['remote_pages'])} at peers   ")
    for kind, (letter, style, words) in KINDS.items():
        if memory["pages"][kind]:
            line.append(f"{letter} ", style=style)
            line.append(f"{human_bytes(memory['zpage_bytes'][kind])} {words}   ")
    yield line


def bar(memory: Mapping[str, Any], cells: int) -> Text:
    """Return a bar of so many cells in brackets: a letter for each part of the budget that a kind takes."""
    budget, line = max(1, memory["budget_bytes"]), Text("[")
    for kind, (letter, style, _) in KINDS.items():
        # No more letters than cells, whatever a node says of itself.
        line.append(
            letter * min(cells, round(cells * memory["zpage_bytes"][kind] / budget)), style=style
        )
    line.truncate(cells + 1)
    return line.append("." * (cells + 1 - len(line)) + "]")


def rate_lines(rate: Callable[[str], float | None]) -> Iterator[Text]:
    """Yield pages a second by what became of them; None: not known yet."""
    for label, rates in RATES.items():
        line = Text(f"{label:<{LABEL_WIDTH}}")
        for name, words in rates.items():
            line.append(shown_rate(rate(name)), style="bold")
            line.append(f" {words}   ")
        yield line


def shown_rate(rate: float | None) -> str:
    """Return a rate as screens have it."""
    return "-" if rate is None else f"{rate:,.0f}"


def rate_between(before: Picture | None, now: Picture, name: str) -> float | None:
    """Return pages a second between two pictures; None: there is only one, or the daemon has started anew."""
    if before is None:
        return None
    seconds = now["at"] - before["at"]
    pages = now["totals"][name] - before["totals"][name]
    return pages / seconds if seconds > 0 and pages >= 0 else None


def latency_lines(waits: Callable[[str], Sequence[int] | None]) -> Iterator[Text]:
    """Yield how long clients waited; `waits` returns counts by bucket, None where they are not known."""
    label = "p50/p99"
    for word, tiers in LATENCIES.items():
        line = Text(f"{label:<{LABEL_WIDTH}}{word} ")
        for name, words in tiers.items():
            counts = waits(name)
            line.append(" / ".join(shown_wait(counts, part) for part in PERCENTILES), style="bold")
            line.append(f" {words}   ")
        yield line
        label = ""


def shown_wait(counts: Sequence[int] | None, part: float) -> str:
    """Return a percentile as screens have it: the end of its bucket."""
    end = None if counts is None else percentile_end(counts, part)
    longest = LATENCY_BUCKETS[-1]
    return human_latency(end) if end is None or end <= longest else f">{human_latency(longest)}"


def waits_between(before: Picture | None, now: Picture, name: str) -> list[int] | None:
    """Return how many clients waited between two pictures, by bucket; None: as for a rate, or untold."""
    if before is None or before["latency"] is None or now["latency"] is None:
        return None
    counts = [
        new - old
        for new, old in zip(
            now["latency"][name]["counts"], before["latency"][name]["counts"], strict=True
        )
    ]
    return counts if min(counts) >= 0 else None


def job_lines(jobs: Iterable[Mapping[str, Any]]) -> Iterator[Text]:
    """Yield those that go on: how one ended is an event."""
    live = [dict(job) for job in jobs if not is_over(dict(job))]
    for job in live[:JOBS_MAX]:
        style = "" if job["state"] == "running" else "yellow"
        yield Text.assemble(f"{'job':<{LABEL_WIDTH}}", (printable(watch_line(job)), style))
    if len(live) > JOBS_MAX:
        yield Text(f"  … {len(live) - JOBS_MAX} more: ramsterctl jobs", style="dim")


def event_line(event: Mapping[str, Any], node: str = "") -> Text:
    """Return an event, with the node that has it if there are several."""
    at = datetime.fromisoformat(event["time"])
    style = {"warning": "yellow", "error": "bold red"}.get(event["severity"], "")
    return Text.assemble(
        (f"{at:%H:%M:%S}  ", "dim"), f"{node}  " if node else "", (printable(event["text"]), style)
    )
