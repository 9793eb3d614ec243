"""What `ramsterctl top --cluster` shows: two pictures of each member in, the lines of a screen out.  Pure."""

import enum
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from rich.text import Text

from config.units import human_bytes, human_count
from ramsterd.cli.printable import printable
from ramsterd.cli.top_parts import (
    FINDINGS_MAX,
    KINDS,
    LABEL_WIDTH,
    STYLES,
    Picture,
    bar,
    event_line,
    fitted,
    job_lines,
    latency_lines,
    memory_lines,
    name_column,
    note_lines,
    rate_between,
    rate_lines,
    shown_rate,
    shown_wait,
    waits_between,
)
from ramsterd.health.codes import Code

KEYS: Final = "q quit   sort by: h health  n name  f free memory  r reads  w writes"
READS: Final = ("get_local_pages", "get_remote_pages", "get_hole_pages")
WRITES: Final = ("put_pages",)
SEVERITIES: Final = ("ok", "warn", "err")
CODES: Final = {code.value: place for place, code in enumerate(Code)}
SILENT: Final = "silent"
BAR_CELLS: Final = 9
NAME_CELLS: Final = 12
P99: Final = 0.99


class Order(enum.Enum):
    """By what members are sorted; the value is the key to press."""

    HEALTH = "h"
    NAME = "n"
    FREE = "f"
    READS = "r"
    WRITES = "w"


@dataclass(frozen=True, slots=True)
class Heard:
    """A member that has answered: its last picture, and the one before, if there is one."""

    name: str
    now: Picture
    before: Picture | None = None

    def rate(self, *names: str) -> float | None:
        """Return the pages a second of several counters together; None: not known."""
        return _sum(rate_between(self.before, self.now, name) for name in names)

    def p99(self, name: str) -> str:
        """Return how long nearly all clients waited for one kind of request."""
        return shown_wait(waits_between(self.before, self.now, name), P99)


@dataclass(frozen=True, slots=True)
class Silent:
    """A member that has not, and why."""

    name: str
    problem: str


Member: TypeAlias = Heard | Silent


@dataclass(frozen=True, slots=True)
class ClusterView:
    """What there is to show, and on how much room."""

    cluster: str
    # The node that was asked for all others, and when, in seconds since 1970.
    through: str
    at: float
    members: Sequence[Member]
    # The newest last, each with the member that has it.
    events: Sequence[tuple[str, dict[str, Any]]] = ()
    order: Order = Order.HEALTH
    # None: no line is cut.
    width: int | None = 80
    height: int = 24
    # Why there is nothing newer; empty: there is.
    problem: str = ""
    keys: str = KEYS


def screen(view: ClusterView) -> list[Text]:
    """Return at most `height` lines of at most `width` columns, if there is a width."""
    heard = [each for each in view.members if isinstance(each, Heard)]
    top = [_head(view), *_health(view, heard)]
    if heard:
        top += memory_lines(_memory_of_all(heard), view.width)
        top += rate_lines(lambda name: _sum(each.rate(name) for each in heard))
        top += latency_lines(_waits_of(heard))
        top += job_lines(_jobs_of_all(heard))
    return fitted(
        top, list(_rows(view)), list(_events(view)),
        keys=view.keys, noun="members", width=view.width, height=view.height,
    )  # fmt: skip


def _head(view: ClusterView) -> Text:
    at = f"{datetime.fromtimestamp(view.at, UTC):%H:%M:%S} UTC"
    if view.problem:
        return Text(f"OLD, of {at}: {printable(view.problem)}", style="bold red")
    members = human_count(len(view.members), "member")
    return Text.assemble(
        (f"cluster {view.cluster}", "bold"), f"   {members}, asked through {view.through}   {at}"
    )


def _health(view: ClusterView, heard: Sequence[Heard]) -> Iterator[Text]:
    """Yield the worst severity with how many members say what, and the worst codes with what to type."""
    found = Counter(each.now["health"]["severity"] for each in heard)
    silent = len(view.members) - len(heard)
    worst = "err" if silent else max(found, key=SEVERITIES.index, default="ok")
    tolerance = min((each.now["health"]["failure_tolerance_nodes"] for each in heard), default=0)
    counts = [f"{silent} {SILENT}"] if silent else []
    counts += [f"{found[each]} {each}" for each in reversed(SEVERITIES) if found[each]]
    yield Text.assemble(
        (f"{worst.upper():<{LABEL_WIDTH}}", STYLES[worst]),
        f"{', '.join(counts)}; failure tolerance: {human_count(0 if silent else tolerance, 'node')}",
    )
    codes = _codes_of(heard)
    for (severity, code), said in codes[:FINDINGS_MAX]:
        name, first = said[0]
        more = f" and {len(said) - 1} more" if len(said) > 1 else ""
        yield Text.assemble(
            "  ", (code, STYLES[severity]), f" at {name}{more}: {printable(first['summary'])}"
        )
        # Some say themselves where.
        where = "" if first["command"].startswith("on ") else f" on {name}"
        yield Text(f"    type{where}: {printable(first['command'])}")
    if len(codes) > FINDINGS_MAX:
        yield Text(
            f"  … {len(codes) - FINDINGS_MAX} more: ramsterctl health --cluster", style="dim"
        )
    yield from note_lines((each.now["health"] for each in heard), "ramsterctl health --cluster")


def _codes_of(
    heard: Sequence[Heard],
) -> list[tuple[tuple[str, str], list[tuple[str, dict[str, Any]]]]]:
    """Return the codes that count, each with those who say so: the worst first, as `health` has them."""
    found: dict[tuple[str, str], list[tuple[str, dict[str, Any]]]] = {}
    for each in heard:
        for code in each.now["health"]["codes"]:
            if not code["muted_seconds"]:
                key = (code["severity"], str(printable(code["code"])))
                found.setdefault(key, []).append((each.name, code))
    return sorted(found.items(), key=lambda item: _badness(*item[0]))


def _badness(severity: str, code: str) -> tuple[int, int]:
    """Return what codes are sorted by; one that only a later version knows comes last."""
    return -SEVERITIES.index(severity), CODES.get(code, len(CODES))


def _memory_of_all(heard: Sequence[Heard]) -> dict[str, Any]:
    memories = [each.now["memory"] for each in heard]
    figures = ("budget_bytes", "resident_bytes", "remote_pages")
    return {
        **{name: sum(each[name] for each in memories) for name in figures},
        **{
            name: {kind: sum(each[name][kind] for each in memories) for kind in KINDS}
            for name in ("zpage_bytes", "pages")
        },
    }


def _waits_of(heard: Sequence[Heard]) -> Callable[[str], list[int] | None]:
    def waits(name: str) -> list[int] | None:
        known = [
            counts
            for each in heard
            if (counts := waits_between(each.before, each.now, name)) is not None
        ]
        return [sum(counts) for counts in zip(*known, strict=True)] or None

    return waits


def _jobs_of_all(heard: Sequence[Heard]) -> list[dict[str, Any]]:
    """Return each job once: all members show a drain, and the node that drains knows most of it."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for each in heard:
        for job in each.now["jobs"]:
            key = (job["node"], job["id"])
            if key not in found or job["node"] == each.name:
                found[key] = job
    return list(found.values())


def _rows(view: ClusterView) -> Iterator[Text]:
    fit = name_column((each.name for each in view.members), NAME_CELLS, view.width)
    yield Text(
        f"{fit('MEMBER')} {'HEALTH':<6} {'MEMORY':<{BAR_CELLS + 2}} {'BUDGET':>10} {'READ/S':>8} {'WRITE/S':>8}"
        f" {'P99 HERE':>8} {'P99 PEERS':>9}",
        style="reverse",
    )
    for each in sorted(view.members, key=lambda it: _rank(it, view.order)):
        yield _row(each, fit(each.name))


def _row(member: Member, name: str) -> Text:
    if isinstance(member, Silent):
        return Text.assemble(
            f"{name} ", (f"{SILENT:<6} ", STYLES["err"]), printable(member.problem)
        )
    severity, memory = member.now["health"]["severity"], member.now["memory"]
    return Text.assemble(
        f"{name} ", (f"{severity:<6} ", STYLES[severity]), bar(memory, BAR_CELLS),
        f" {human_bytes(memory['budget_bytes']):>10} {shown_rate(member.rate(*READS)):>8}"
        f" {shown_rate(member.rate(*WRITES)):>8} {member.p99('read_local'):>8} {member.p99('read_peer'):>9}",
    )  # fmt: skip


def _rank(member: Member, order: Order) -> tuple[object, ...]:
    """Return what a member is sorted by: what an operator looks for comes first, and who is silent before all."""
    if order is Order.NAME:
        return (member.name,)
    if isinstance(member, Silent):
        return (0, 0, member.name)
    match order:
        case Order.HEALTH:
            return (1, -SEVERITIES.index(member.now["health"]["severity"]), member.name)
        case Order.FREE:
            memory = member.now["memory"]
            return (1, memory["budget_bytes"] - memory["resident_bytes"], member.name)
        case Order.READS:
            return (1, -(member.rate(*READS) or 0.0), member.name)
        case Order.WRITES:
            return (1, -(member.rate(*WRITES) or 0.0), member.name)


def _events(view: ClusterView) -> Iterator[Text]:
    if view.events:
        yield Text("EVENTS", style="reverse")
        yield from (event_line(event, node) for node, event in view.events)


def _sum(rates: Iterable[float | None]) -> float | None:
    """Return the sum of those that are known; None: none is."""
    known = [each for each in rates if each is not None]
    return sum(known) if known else None
