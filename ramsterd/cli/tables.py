"""What `ramsterctl nodes` and `pools` print for people: a table each."""

from collections.abc import Sequence
from functools import partial
from typing import Final

from config.endpoint import join_endpoint
from config.units import human_bytes
from nodemanager.states import LinkState
from ramsterd.cli.colour import LOST, NODE_STATES
from ramsterd.cli.columns import Column, Row, format_table
from ramsterd.health.wording import REFUSALS

# Neither a link nor a heartbeat has brought a word of it.
NEVER_SEEN: Final = "never seen: start ramsterd there"


def _address(row: Row) -> str:
    config = row["config"]
    return join_endpoint(config["address"], config["port"])


def _link(row: Row) -> str:
    return "this node" if row["is_local"] else "yes" if row["is_linked"] else "no"


def _bad_copies(row: Row) -> str:
    return f"{sum(row['trust']['bad_copies_total'].values()) if row['trust'] else 0:,}"


def _said_bytes(row: Row, key: str) -> str:
    """Return what a node said of its memory; without a link that is no longer true."""
    said = row["status"]
    return human_bytes(said[key]) if said and row["is_linked"] else "-"


def _budget(row: Row) -> str:
    # A daemon of an older version does not tell its own.
    budget_bytes = row.get("budget_bytes")
    return _said_bytes(row, "budget_bytes") if budget_bytes is None else human_bytes(budget_bytes)


def _held_pages(row: Row) -> str:
    said = row["status"]
    return f"{said['pages_held_for_us']:,}" if said and row["is_linked"] else "-"


def why_no_link(row: Row) -> str:
    """Return why there is no link to a node.

    What it says of its own end counts more than a port that is closed.
    """
    if row["is_local"] or row["is_linked"]:
        return ""
    if row["state"] == "left":
        return str(row["reason"])
    text = str(row["link_reason"] or row["reason"] or NEVER_SEEN)
    return REFUSALS.get(LinkState(row["link"]), "") + text


NODE_COLUMNS: Final = (
    Column("NUMBER", lambda row: str(row["config"]["number"]), is_right=True),
    Column("NAME", lambda row: row["config"]["name"]),
    Column("ADDRESS", _address),
    Column("STATE", lambda row: row["state"], colours=NODE_STATES),
    Column("LINK", _link),
    Column("CORDONED", lambda row: "yes" if row["config"]["cordoned"] else "no"),
    Column("BAD COPIES", _bad_copies, is_right=True),
    Column("ROOM FOR OUR PAGES", partial(_said_bytes, key="free_bytes"), is_right=True),
    Column("BUDGET", _budget, is_right=True, is_wide=True),
    Column("KEEPS FOR US", _held_pages, is_right=True, is_wide=True),
    Column("ZONE", lambda row: row["config"]["zone"] or "-", is_wide=True),
    Column("INCARNATION", lambda row: str(row["incarnation"] or "-"), is_wide=True),
    Column("WHY NO LINK", why_no_link),
)


def format_nodes(rows: Sequence[Row], *, is_wide: bool = False, nodes: Sequence[str] = ()) -> str:
    """Return one line a node; `nodes` are those that said it, if several were asked."""
    return format_table(NODE_COLUMNS, rows, is_wide=is_wide, nodes=nodes)


POOL_COLUMNS: Final = (
    Column("USER", lambda row: str(row["user"]), is_right=True),
    Column("NAME", lambda row: row["name"] or "-"),
    Column("KIND", lambda row: row["kind"]),
    Column("CODEC", lambda row: row["codec"]),
    Column("PAGES", lambda row: f"{row['pages']:,}", is_right=True),
    Column("OBJECTS", lambda row: f"{row['objects']:,}", is_right=True),
    Column("CLIENTS", lambda row: f"{row['connections']:,}", is_right=True),
    Column("STATE", lambda row: "lost" if row["is_lost"] else "usable", is_wide=True, colours=LOST),
)


def format_pools(rows: Sequence[Row], *, is_wide: bool = False, nodes: Sequence[str] = ()) -> str:
    """Return one line a pool; a private one has no name."""
    return format_table(POOL_COLUMNS, rows, is_wide=is_wide, nodes=nodes)
