"""`ramsterctl health`: is the cluster well, as this node sees it; `health mute` and `unmute`."""

from pathlib import Path
from typing import Any, Final

import click

from config.durations import format_duration
from ramsterd.cli.ask import Ask
from ramsterd.cli.colour import SEVERITIES, paint_heads
from ramsterd.cli.format_health import format_health
from ramsterd.cli.options import to_seconds
from ramsterd.cli.output import OUTPUT_OPTION, Output, show
from ramsterd.health.codes import Code, Severity

EXIT_STATUS: Final = {Severity.OK: 0, Severity.WARN: 1, Severity.ERR: 2}
assert set(EXIT_STATUS) == set(Severity)
CODE_ARGUMENT: Final = click.argument(
    "code", type=click.Choice([code.value for code in Code], case_sensitive=False), metavar="CODE"
)


def health_group(ask: Ask, ask_or_unavailable: Ask) -> click.Group:
    """Return the group, which is a command, too; with `ask_or_unavailable` a refusal is no severity."""

    @click.group("health", invoke_without_command=True)
    @OUTPUT_OPTION
    @click.pass_context
    def health(context: click.Context, output: Output) -> None:
        """Show whether this node and its cluster are well, and what to type if not.

        Each code that holds prints one line, the worst first, with details and the line to type
        under it; docs/health.md has a heading for each.  The failure tolerance is how many other
        nodes may end at once without a page of this node being lost.

        Muted codes count neither here nor in the exit status.
        """
        if context.invoked_subcommand is not None:
            return
        found = ask_or_unavailable(context.obj, "health")
        show(to_json([found]), output, lambda _: paint_heads(format_health(found), SEVERITIES))
        context.exit(EXIT_STATUS[severity_of(found)])

    @health.command("mute")
    @CODE_ARGUMENT
    @click.option(
        "--for",
        "seconds",
        required=True,
        callback=to_seconds,
        help="How long, such as 30m, 1h or 2d; a week at most.",
    )
    @OUTPUT_OPTION
    @click.pass_obj
    def mute(socket_path: Path, code: str, seconds: int, output: Output) -> None:
        """Let a code that holds not count, for a while.

        It is shown as muted, and changes neither the severity nor the exit status.  It counts again
        after that time, when it gets worse (more nodes, more exports, a higher severity), and after
        a restart of ramsterd.
        """
        result = ask(socket_path, "health-mute", code=code, seconds=seconds)
        text = f"{code} is muted for {format_duration(seconds)}, unless it gets worse"
        show(result, output, lambda _: text)

    @health.command("unmute")
    @CODE_ARGUMENT
    @OUTPUT_OPTION
    @click.pass_obj
    def unmute(socket_path: Path, code: str, output: Output) -> None:
        """Let a muted code count again."""
        result = ask(socket_path, "health-unmute", code=code)
        show(result, output, lambda _: f"{code} counts again")

    return health


def severity_of(health: dict[str, Any]) -> Severity:
    """Return the severity that a node tells."""
    return Severity[health["severity"].upper()]


def to_json(nodes: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the health of nodes for programs: the worst of all, and each by itself.  Keys only grow."""
    worst = max((severity_of(each) for each in nodes), key=lambda severity: severity.value)
    return {
        "severity": worst.name.lower(),
        "failure_tolerance_nodes": min(each["failure_tolerance_nodes"] for each in nodes),
        "nodes": nodes,
    }
