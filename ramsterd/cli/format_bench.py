"""What `ramsterctl bench` prints for people: a table, and one sentence.  Pure."""

from typing import Any, Final

from config.limits import PAGE_BYTES
from config.units import human_bytes

# What is more would be shown as 1e+03.
LARGEST_OF_UNIT: Final = 999.5
NO_VERDICT: Final = "no verdict: "


def format_bench(result: dict[str, Any]) -> str:
    """Return the table and the verdict."""
    head = f"{'TARGET':<20} {'PAGE':<6} {'P50':>9} {'P90':>9} {'P99':>9} {'MAX':>9} {'AT DEPTH 32':>24}"
    return "\n".join([head, *map(format_row, result["rows"]), "", result["verdict"]["text"]])


def format_row(row: dict[str, Any]) -> str:
    """Return one line."""
    start = f"{shown_target(row):<20} {row['operation']:<6}"
    if row["problem"] and row["p50_seconds"] is None:
        return f"{start} {row['problem']}"
    figures = " ".join(
        f"{human_latency(row[key]):>9}"
        for key in ("p50_seconds", "p90_seconds", "p99_seconds", "max_seconds")
    )
    many = shown_rate(row["pages_per_second"])
    problem = f"  {row['problem']}" if row["problem"] else ""
    return f"{start} {figures} {many:>24}{problem}".rstrip()


def shown_target(row: dict[str, Any]) -> str:
    """Return how the table calls what was measured."""
    match row["kind"]:
        case "local":
            return f"{row['target']} (here)"
        case "socket":
            return "a client's socket"
        case _:
            return str(row["target"])


def shown_rate(pages_per_second: float | None) -> str:
    """Return a rate; None: it was not measured."""
    if pages_per_second is None:
        return ""
    if not pages_per_second:
        return "no page in time"
    bytes_per_second = human_bytes(round(pages_per_second * PAGE_BYTES))
    return f"{pages_per_second:,.0f} pages/s, {bytes_per_second}/s"


def human_latency(seconds: float | None) -> str:
    """Return a latency with three digits."""
    if seconds is None:
        return "-"
    for unit, factor in (("us", 1e6), ("ms", 1e3)):
        if seconds * factor < LARGEST_OF_UNIT:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds:.3g} s"


def human_times(times: float) -> str:
    """Return a factor as people say it."""
    return f"{times:,.0f}" if times >= 10 else f"{times:.1f}"  # noqa: PLR2004  two digits


def verdict_of(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what the rows say: is a read from the best peer faster than one from the path.

    A client pays the way to the daemon for each page from a peer, and not for one from the path.
    """
    reads = [row for row in rows if row["operation"] == "read" and row["p50_seconds"] is not None]
    by_kind = {
        kind: [row for row in reads if row["kind"] == kind] for kind in ("peer", "path", "socket")
    }
    verdict: dict[str, Any] = {
        "text": "",
        "peer": None,
        "path": None,
        "times_as_fast": None,
        "is_worth_it": None,
    }
    if not by_kind["path"]:
        return {**verdict, "text": f"{NO_VERDICT}name a folder on this machine's disk with --path"}
    if not by_kind["peer"]:
        return {**verdict, "text": f"{NO_VERDICT}no peer could be measured"}
    (path,) = by_kind["path"]
    peer = min(by_kind["peer"], key=lambda row: float(row["p50_seconds"]))
    way = sum(float(row["p50_seconds"]) for row in by_kind["socket"])
    times = path["p50_seconds"] / (peer["p50_seconds"] + way)
    is_worth_it = times > 1
    if is_worth_it:
        text = f"remote memory ({peer['target']}) is {human_times(times)} times as fast as {path['target']}"
        text += " at reads of one page: worth it"
    else:
        text = f"{path['target']} is {human_times(1 / times)} times as fast as remote memory ({peer['target']})"
        text += " at reads of one page: not worth it"
    return {
        "text": text,
        "peer": peer["target"],
        "path": path["target"],
        "times_as_fast": times,
        "is_worth_it": is_worth_it,
    }
