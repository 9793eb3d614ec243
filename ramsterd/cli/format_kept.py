"""What `ramsterctl status` says of kept memory: who keeps it, and what this start found in it.  Pure."""

from datetime import UTC, datetime
from typing import Any

from config.units import human_count
from ramsterd.cli.status_line import line


def format_kept(memory: dict[str, Any], scrub: dict[str, Any]) -> list[str]:
    """Return the lines."""
    lines = [_keeper(memory)]
    if memory["given_up"]:
        reason = memory["given_up"]
        lines.append(line("", f"this start gave up the pages of the last run: {reason}"))
    if memory["attaches"]:
        lines.append(line("", f"{_found(memory)}; {_scrubbed(scrub)}"))
    return lines


def _keeper(memory: dict[str, Any]) -> str:
    if not memory["keeper"]:
        return line(
            "NOT KEPT",
            "pages end when ramsterd ends; only `ramsterctl restart` keeps them. Start ramsterd by its systemd unit, with"
            " FileDescriptorStoreMax=, or set keep in [memory] to a folder on a tmpfs",
        )
    since = datetime.fromtimestamp(memory["made_timestamp_seconds"], UTC)
    restarts = memory["attaches"]
    outlived = f"{restarts:,} restart{'' if restarts == 1 else 's'}"
    return line(
        "kept",
        f"by {memory['keeper']} since {since:%Y-%m-%d %H:%M} UTC; these pages have outlived {outlived}",
    )


def _found(memory: dict[str, Any]) -> str:
    text = (
        f"this start took over {human_count(memory['adopted_pages'])} in {memory['attach_seconds']:,.2f} s:"
        f" {memory['broken_pages']:,} are damaged, {memory['lost_pages']:,} of them lost"
    )
    pools = memory["lost_pools"]
    if not pools:
        return text
    s = "" if pools == 1 else "s"
    return f"{text}; all pages of {pools:,} export{s} or pool{s} are lost"


def _scrubbed(scrub: dict[str, Any]) -> str:
    """Return how far the check of each page is that follows an attach."""
    checked = (
        f"{scrub['zpages_checked']:,} compressed pages are checked, {scrub['corrupt']:,} damaged"
    )
    if not scrub["is_running"]:
        return checked
    return f"{checked}, so far in {scrub['blocks_seen']:,} of {scrub['blocks']:,} blocks"
