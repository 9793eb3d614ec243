"""`ramsterctl health`: is the cluster well, as this node sees it; `health mute` and `unmute`."""

from dataclasses import replace
from typing import Any, Final

import click

from config.durations import format_duration
from nodemanager.states import ENDED_STATES
from ramsterd.cli.ask import Ask, AskEach
from ramsterd.cli.colour import SEVERITIES, paint_heads
from ramsterd.cli.format_health import format_cluster, format_health
from ramsterd.cli.gather import Told, ask_nodes
from ramsterd.cli.options import one_of, to_seconds
from ramsterd.cli.output import OUTPUT_OPTION, Output, show
from ramsterd.cli.target import AT_NODE, Target, at_nodes
from ramsterd.health.codes import Code, Severity
from ramsterd.health.wording import start_again

EXIT_STATUS: Final = {Severity.OK: 0, Severity.WARN: 1, Severity.ERR: 2}
assert set(EXIT_STATUS) == set(Severity)
_ENDED: Final = frozenset(state.value for state in ENDED_STATES)
CODE_ARGUMENT: Final = click.argument(
    "code", metavar="CODE", **one_of([code.value for code in Code], "code")
)


def health_group(ask: Ask, ask_or_unavailable: Ask, ask_each: AskEach) -> click.Group:
    """Return the group, which is a command, too; with `ask_or_unavailable` a refusal is no severity."""

    @click.group("health", invoke_without_command=True)
    @at_nodes
    @OUTPUT_OPTION
    @click.pass_context
    def health(context: click.Context, output: Output) -> None:
        """Show whether this node and its cluster are well, and what to type if not.

        Each code that holds prints one line, the worst first, with details and the line to type
        under it; docs/health.md has a heading for each.  The failure tolerance is how many other
        nodes may end at once without a page of this node being lost.  With --cluster all members
        say so, the worst first, and a member that does not answer counts as down.

        Muted codes count neither here nor in the exit status.
        """
        if context.invoked_subcommand is not None:
            return
        found = of_members(context.obj) if context.obj.is_cluster else of_one(context.obj)
        text_of = format_cluster if context.obj.is_cluster else format_of_one
        show(found, output, lambda now: paint_heads(text_of(now), SEVERITIES))
        context.exit(EXIT_STATUS[severity_of(found)])

    def of_one(target: Target) -> dict[str, Any]:
        return to_json([ask_or_unavailable(target, "health")])

    def of_members(target: Target) -> dict[str, Any]:
        at_hand = replace(target, is_cluster=False)
        rows = {row["config"]["name"]: row for row in ask_or_unavailable(at_hand, "nodes")}
        told = ask_nodes(ask_each, at_hand, {name: {"command": "health"} for name in rows})
        return to_json(
            [silent(each, rows[each.node]) if each.problem else each.result for each in told]
        )

    @health.command("mute")
    @CODE_ARGUMENT
    @click.option(
        "--for",
        "seconds",
        required=True,
        callback=to_seconds,
        help="How long, such as 30m, 1h or 2d; a week at most.",
    )
    @AT_NODE
    @OUTPUT_OPTION
    @click.pass_obj
    def mute(target: Target, code: str, seconds: int, output: Output) -> None:
        """Let a code that holds not count, for a while.

        It is shown as muted, and changes neither the severity nor the exit status.  It counts again
        after that time, when it gets worse (more nodes, more exports, a higher severity), and after
        a restart of ramsterd.
        """
        result = ask(target, "health-mute", code=code, seconds=seconds)
        text = f"{code} is muted for {format_duration(seconds)}, unless it gets worse"
        show(result, output, lambda _: text)

    @health.command("unmute")
    @CODE_ARGUMENT
    @AT_NODE
    @OUTPUT_OPTION
    @click.pass_obj
    def unmute(target: Target, code: str, output: Output) -> None:
        """Let a muted code count again."""
        result = ask(target, "health-unmute", code=code)
        show(result, output, lambda _: f"{code} counts again")

    return health


def severity_of(health: dict[str, Any]) -> Severity:
    """Return the severity that a node tells."""
    return Severity[health["severity"].upper()]


def format_of_one(found: dict[str, Any]) -> str:
    """Return the health of the only node."""
    (node,) = found["nodes"]
    return format_health(node)


def silent(told: Told, row: dict[str, Any]) -> dict[str, Any]:
    """Return the health of a member that says nothing of itself: as bad as can be.

    `row` is what the node at hand believes of it: nothing answers at a member that is down.
    """
    if row.get("state") in _ENDED:
        summary, command = f"{told.node} is down", start_again([told.node])
    else:
        summary = f"{told.node} says nothing of its health"
        command = f"on node {told.node}: ramsterctl health"
    return {
        "node": told.node,
        "severity": "err",
        "failure_tolerance_nodes": 0,
        "notes": [],
        "codes": [
            {
                "code": Code.NODE_DOWN.value,
                "severity": "err",
                "summary": summary,
                "details": [told.problem],
                "command": command,
                "active_seconds": 0.0,
                "muted_seconds": 0.0,
            }
        ],
    }


def to_json(nodes: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the health of nodes for programs: the worst of all, and each by itself, the worst first.  Keys only grow."""
    worst = max((severity_of(each) for each in nodes), key=lambda severity: severity.value)
    return {
        "severity": worst.name.lower(),
        "failure_tolerance_nodes": min(each["failure_tolerance_nodes"] for each in nodes),
        "nodes": sorted(nodes, key=lambda each: -severity_of(each).value),
    }
