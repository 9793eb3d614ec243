"""What `ramsterctl nodes` and `pools` print for people: a table each."""

from typing import Any, Final

from config.endpoint import join_endpoint
from config.units import human_bytes
from nodemanager.states import LinkState
from ramsterd.health.wording import REFUSALS

# Neither a link nor a heartbeat has brought a word of it.
NEVER_SEEN: Final = "never seen: start ramsterd there"


def format_nodes(rows: list[dict[str, Any]]) -> str:
    """Return one line a node."""
    head = f"{'NUMBER':>6}  {'NAME':<16} {'ADDRESS':<24} {'STATE':<9} {'LINK':<9} {'CORDONED':<8}"
    lines = [f"{head} {'BAD COPIES':>10} {'ROOM FOR OUR PAGES':>18}  WHY NO LINK"]
    for row in rows:
        config, said = row["config"], row["status"]
        link = "this node" if row["is_local"] else "yes" if row["is_linked"] else "no"
        room = human_bytes(said["free_bytes"]) if said and row["is_linked"] else "-"
        where = join_endpoint(config["address"], config["port"])
        cordoned = "yes" if config["cordoned"] else "no"
        bad = sum(row["trust"]["bad_copies_total"].values()) if row["trust"] else 0
        lines.append(
            f"{config['number']:>6}  {config['name']:<16} {where:<24} {row['state']:<9} {link:<9} {cordoned:<8}"
            f" {bad:>10,} {room:>18}  {why_no_link(row)}".rstrip()
        )
    return "\n".join(lines)


def why_no_link(row: dict[str, Any]) -> str:
    """Return why there is no link to a node.

    What it says of its own end counts more than a port that is closed.
    """
    if row["is_local"] or row["is_linked"]:
        return ""
    if row["state"] == "left":
        return str(row["reason"])
    text = str(row["link_reason"] or row["reason"] or NEVER_SEEN)
    return REFUSALS.get(LinkState(row["link"]), "") + text


def format_pools(rows: list[dict[str, Any]]) -> str:
    """Return one line a pool; a private one has no name."""
    lines = [
        f"{'USER':>6}  {'NAME':<24} {'KIND':<10} {'CODEC':<5} {'PAGES':>12} {'OBJECTS':>10} CLIENTS"
    ]
    lines += [
        f"{row['user']:>6}  {row['name'] or '-':<24} {row['kind']:<10} "
        f"{row['codec']:<5} {row['pages']:>12,} "
        f"{row['objects']:>10,} {row['connections']:,}"
        for row in rows
    ]
    return "\n".join(lines)
