"""What `ramsterctl health` prints for people, and its line in `status`.  Pure."""

from typing import Any, Final

from config.durations import format_duration
from config.units import human_count
from ramsterd.cli.status_line import line

_INDENT: Final = " " * 9


def format_health(health: dict[str, Any]) -> str:
    """Return the severity, the failure tolerance and notes, then each code with what to type; the worst comes first."""
    codes = health["codes"]
    muted = sum(each["muted_seconds"] > 0 for each in codes)
    tolerance = human_count(health["failure_tolerance_nodes"], "node")
    head = f"{health['severity'].upper():<6} failure tolerance: {tolerance}"
    lines = [f"{head}; {muted:,} muted" if muted else head, *_notes([health])]
    width = max((len(each["code"]) for each in codes), default=0)
    for each in codes:
        word, rest = each["severity"].upper(), ""
        if each["muted_seconds"]:
            word, rest = "MUTED", f" (for {format_duration(each['muted_seconds'])} more)"
        lines.append(f"{word:<6} {each['code']:<{width}}  {each['summary']}{rest}")
        lines += [f"{_INDENT}{detail}" for detail in each["details"]]
        lines.append(f"{_INDENT}type: {each['command']}")
    return "\n".join(lines)


def format_cluster(cluster: dict[str, Any]) -> str:
    """Return the health of several nodes: one line on all of them, then each, the worst first."""
    nodes = cluster["nodes"]
    found = [each["severity"] for each in nodes]
    counts = ", ".join(
        f"{found.count(each)} {each.upper()}" for each in ("err", "warn", "ok") if each in found
    )
    tolerance = human_count(cluster["failure_tolerance_nodes"], "node")
    head = (
        f"{cluster['severity'].upper():<6} failure tolerance: {tolerance};"
        f" {human_count(len(nodes), 'node')}: {counts}"
    )
    top = "\n".join([head, *_notes(nodes)])
    blocks = [f"node {each['node']}\n{format_health({**each, 'notes': []})}" for each in nodes]
    return "\n\n".join([top, *blocks])


def _notes(nodes: list[dict[str, Any]]) -> list[str]:
    """Return what several nodes note, each line once; nodes of an earlier version note nothing."""
    return [
        f"{_INDENT}{note}"
        for note in dict.fromkeys(note for each in nodes for note in each.get("notes", []))
    ]


def format_health_line(health: dict[str, Any]) -> str:
    """Return the line of `ramsterctl status`: the worst code, and how many more count."""
    counting = [each["code"] for each in health["codes"] if not each["muted_seconds"]]
    muted = len(health["codes"]) - len(counting)
    hidden = f"; {muted:,} muted" if muted else ""
    if not counting:
        return line("health", f"ok{hidden}")
    more = f" and {len(counting) - 1:,} more" if len(counting) > 1 else ""
    return line(
        "HEALTH", f"{health['severity']}: {counting[0]}{more}{hidden}; type: ramsterctl health"
    )
