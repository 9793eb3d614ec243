"""`ramsterctl memory`: the command line for the budget."""

import sys
import time
from typing import Any, Final

import click

from config.units import human_bytes
from ramsterd.cli.ask import Ask, AskEach
from ramsterd.cli.columns import Column, format_table
from ramsterd.cli.gather import blocks_of, show_answers
from ramsterd.cli.output import OUTPUT_OPTION, Output, show, warn
from ramsterd.cli.progress_line import ProgressLine
from ramsterd.cli.target import AT_NODE, Target, at_nodes

POLL_SECONDS: Final = 0.25


def memory_group(ask: Ask, ask_each: AskEach) -> click.Group:
    """Return the group."""

    @click.group()
    def memory() -> None:
        """Show or change how much memory a running daemon uses."""

    @memory.command("show")
    @at_nodes
    @OUTPUT_OPTION
    @click.pass_obj
    def memory_show(target: Target, output: Output) -> None:
        """Show the budget, how much of it is in use, and by whose pages."""
        show_answers(
            ask,
            ask_each,
            target,
            output,
            "status",
            blocks_of(lambda status: format_use(use_of(status))),
            pick=use_of,
        )

    @memory.command("set")
    @click.option(
        "--budget",
        required=True,
        help="A size such as 512MiB, or a part of the memory such as 60%; at most [memory] budget_max.",
    )
    @click.option(
        "--wait/--no-wait",
        default=True,
        show_default=True,
        help="Wait until the change is complete.",
    )
    @AT_NODE
    @OUTPUT_OPTION
    @click.pass_obj
    def memory_set(target: Target, budget: str, wait: bool, output: Output) -> None:
        """Change the budget until the daemon is restarted.

        A larger budget takes effect at once.  For a smaller one, pages leave first: clean copies
        and ephemeral pages are dropped, then other pages go to peers.  If no peer has room for
        them, shrinking stops: no page is lost, and the answer says how much is free for writes.
        Ctrl-C ends the waiting, not the change.  To keep the budget after a
        restart, write it into ramsterd.toml.
        """
        warn(ask(target, "memory-set", budget=budget)["warnings"])
        with ProgressLine(sys.stdout) as line:
            while True:
                now = state_of(ask(target, "status")["engine"])
                if not wait or now["state"] != "shrinking":
                    break
                if not output.is_json:
                    text = format_memory(now)
                    line.show(text, text, now=time.perf_counter())
                time.sleep(POLL_SECONDS)
        show(now, output, format_set)
        if now["state"] == "stopped":
            raise SystemExit(1)

    return memory


def state_of(engine: dict[str, Any]) -> dict[str, Any]:
    """Return how the budget stands."""
    store = engine["store"]
    return {
        **engine["resize"],
        "budget_bytes": store["zbud"]["budget_bytes"],
        "resident_bytes": store["zbud"]["resident_bytes"],
        "foreign_bytes": store["zpage_bytes"]["foreign_persistent"],
    }


def use_of(status: dict[str, Any]) -> dict[str, Any]:
    """Return how the budget stands, and which kinds of pages use it."""
    store = status["engine"]["store"]
    kinds = {
        kind: {"zpages": store["zpages"][kind], "zpage_bytes": size}
        for kind, size in store["zpage_bytes"].items()
    }
    return {**state_of(status["engine"]), "kinds": kinds}


KIND_COLUMNS: Final = (
    Column("KIND", lambda row: row["kind"].replace("_", " ")),
    Column("PAGES", lambda row: f"{row['zpages']:,}", is_right=True),
    Column("SIZE", lambda row: human_bytes(row["zpage_bytes"]), is_right=True),
)


def format_use(use: dict[str, Any]) -> str:
    """Return one line on the budget, and one on each kind of pages."""
    rows = [{"kind": kind, **each} for kind, each in use["kinds"].items()]
    return f"{format_memory(use)}\n{format_table(KIND_COLUMNS, rows)}"


def format_set(now: dict[str, Any]) -> str:
    """Return one line on the budget, and for how long it is that."""
    return f"{format_memory(now)}. The next start takes that of [memory] budget in ramsterd.toml"


def format_memory(now: dict[str, Any]) -> str:
    """Return one line on the budget."""
    room = human_bytes(max(0, now["budget_bytes"] - now["resident_bytes"]))
    budget, used = human_bytes(now["budget_bytes"]), human_bytes(now["resident_bytes"])
    match now["state"]:
        case "shrinking":
            return f"shrinking to {human_bytes(now['target_bytes'])}: {used} in use"
        case "stopped":
            target = human_bytes(now["target_bytes"])
            foreign = human_bytes(now["foreign_bytes"])
            return (
                f"shrinking to {target} stopped: no peer has room for the rest. {used} are in use, {foreign} of them by"
                f" pages of other nodes. The budget is {budget}, with {room} free for writes"
            )
        case _:
            return f"the budget is {budget}: {used} in use"
