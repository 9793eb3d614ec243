"""`ramsterctl node`: the command line for members."""

import math
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import click

from config.endpoint import DEFAULT_PORT, join_endpoint
from config.units import human_count
from ramsterd.cli.ask import Ask
from ramsterd.cli.drain_progress import DrainProgress
from ramsterd.cli.output import INTERRUPTED, OUTPUT_OPTION, Output, fail, show, warn
from ramsterd.cli.progress_line import ProgressLine
from ramsterd.cli.target import Target
from ramsterd.membership.ending import describe_ending

POLL_SECONDS: Final = 0.1
DRAIN_POLL_SECONDS: Final = 0.5
# A disk that takes longer is told of.
WRITE_SECONDS_MAX: Final = 10.0


def node_group(ask: Ask) -> click.Group:
    """Return the group."""

    @click.group()
    def node() -> None:
        """Change the members of the cluster, from any member.

        Each change takes effect at once.  It is written into cluster.toml of this node (comments
        stay) and of all linked nodes; a node that is down gets the change when it is up again.
        """

    node.add_command(_add(ask))
    node.add_command(_remove(ask))
    node.add_command(_drain(ask))
    node.add_command(_cordon(ask, "cordon", CORDON_HELP))
    node.add_command(_cordon(ask, "uncordon", UNCORDON_HELP))
    return node


CORDON_HELP: Final = """Send no new pages to node NAME.

Pages that it holds stay there and are read as before.  `drain` makes them leave, too.
"""
UNCORDON_HELP: Final = "Send new pages to node NAME again: undo `cordon` or `drain`."


def _add(ask: Ask) -> click.Command:
    @click.command("add")
    @click.option(
        "--number", required=True, type=int, help="0 to 1023; a number that no node had before."
    )
    @click.option("--name", required=True, help="Its name in ramsterd.toml, logs and metrics.")
    @click.option("--address", required=True, help="An IP address; names are not looked up.")
    @click.option(
        "--port",
        type=int,
        default=DEFAULT_PORT,
        show_default=True,
        help="Of its link (TCP) and heartbeat (UDP).",
    )
    @click.option(
        "--zone",
        default="",
        help="Nodes that fail together, such as those of one rack, share a zone.",
    )
    @OUTPUT_OPTION
    @click.pass_obj
    def add(target: Target, /, output: Output, **values: object) -> None:
        """Add a member.

        Then copy cluster.toml from any member to the new node, write its ramsterd.toml, and start
        ramsterd there.  The other members link to it and send it pages.
        """
        finish(ask, target, ask(target, "node-add", node=values), output)

    return add


def _cordon(ask: Ask, name: str, text: str) -> click.Command:
    @click.command(name, help=text)
    @click.argument("name")
    @OUTPUT_OPTION
    @click.pass_obj
    def cordon(target: Target, name: str, output: Output) -> None:
        finish(ask, target, ask(target, f"node-{command}", name=name), output)

    command = name
    return cordon


def _drain(ask: Ask) -> click.Command:
    @click.command("drain")
    @click.argument("name")
    @click.option(
        "--wait",
        "is_waiting",
        is_flag=True,
        help="Wait until the drain is complete, and show progress.",
    )
    @click.option(
        "--timeout",
        "seconds_max",
        type=click.FloatRange(min=0),
        default=math.inf,
        metavar="SECONDS",
        help="With --wait: stop waiting after this time; the drain continues.",
    )
    @OUTPUT_OPTION
    @click.pass_obj
    def drain(
        target: Target, name: str, is_waiting: bool, seconds_max: float, output: Output
    ) -> None:
        """Empty node NAME, so that it can be stopped or removed.

        The node gets no new pages.  The pages that it holds for other nodes go back to their owners
        or to other nodes.  Its own pages at peers are fetched back, as far as they fit.  Programs
        on all nodes continue meanwhile.  `uncordon` ends the drain.

        --wait ends when the node holds no pages of other nodes, and its own pages are back or have
        made no progress for 10 s.  Ctrl-C ends the waiting, not the drain.
        """
        try:
            result, progress = _ask_while_draining(
                partial(ask, target, "node-drain", name=name),
                name,
                seconds_max=seconds_max if is_waiting else 0,
                is_quiet=output.is_json,
            )
        except KeyboardInterrupt:
            fail(
                f"the drain of {name} continues; `ramsterctl node uncordon {name}` ends it",
                INTERRUPTED,
            )
        is_late = is_waiting and not progress.is_empty
        unwritten = why_unwritten(ask, target)
        if output.is_json or not is_late:
            show({**result, "unwritten": unwritten}, output, describe)
        if is_late:
            line = progress.line or f"{name} has not answered yet"
            click.echo(f"ramsterctl: not drained within {seconds_max:g} s: {line}", err=True)
            fail_if_unwritten(unwritten)
            raise SystemExit(1)
        if not output.is_json and is_waiting and result["pages_own_elsewhere"]:
            click.echo(
                f"{human_count(result['pages_own_elsewhere'])} of {name} itself stay at its peers, because {name} has no"
                " room for them. Before `ramsterctl node remove`, turn swap off or discard these pages, or give it room:"
                f" `ramsterctl memory set --budget SIZE` on {name}"
            )
        if not output.is_json:
            ending = is_waiting and describe_ending(
                name, result["pages_owned"] or 0, result["clients"] or 0, may_be_kept=True
            )
            warn([ending] if ending else [])
            click.echo(next_steps(name, is_drained=is_waiting, owns_pages=bool(ending)))
        fail_if_unwritten(unwritten)

    return drain


def next_steps(name: str, *, is_drained: bool, owns_pages: bool) -> str:
    """Return what to type after a drain has begun, or is over."""
    again = f"`ramsterctl node uncordon {name}` gives it pages again"
    if not is_drained:
        return f"next: `ramsterctl node drain {name} --wait` shows how far it is; {again}"
    first = "turn swap off, or copy away what is on its exports; then " if owns_pages else ""
    return f"next: {first}stop ramsterd on {name}, or `ramsterctl node remove {name}`; {again}"


def _ask_while_draining(
    ask: Callable[[], Any], name: str, *, seconds_max: float, is_quiet: bool
) -> tuple[dict[str, Any], DrainProgress]:
    """Ask until the drain is over or the time is, at least once.

    Return the last answer and what all of them say.
    """
    deadline = time.perf_counter() + seconds_max
    progress = DrainProgress(name)
    warned: set[str] = set()
    with ProgressLine(sys.stderr) as line:
        while True:
            result = ask()
            # Before any progress: who reads that redundancy drops may want to end the drain.
            if news := [each for each in result["warnings"] if each not in warned]:
                line.end()
                warn(news)
                warned.update(news)
            now = time.perf_counter()
            if progress.on_said(result, now=now) or now >= deadline:
                return result, progress
            if not is_quiet:
                line.show(
                    progress.line or f"asking {name} how many pages it keeps",
                    progress.news,
                    now=now,
                )
            time.sleep(DRAIN_POLL_SECONDS)


def _remove(ask: Ask) -> click.Command:
    @click.command("remove")
    @click.argument("name")
    @click.option("--force", is_flag=True, help="Remove the node although pages are lost.")
    @OUTPUT_OPTION
    @click.pass_obj
    def remove(target: Target, name: str, force: bool, output: Output) -> None:
        """Remove node NAME from the cluster.

        First the node is cordoned, and all linked nodes are asked about its pages.  If it holds the
        last copy of a page, or pages of its own are only at its peers, it stays a member
        (cordoned), and the answer names these pages: `drain` it first.  A
        removed node closes its links, and members refuse it.
        """
        while True:
            result = ask(target, "node-remove", name=name, force=force)
            if result["state"] != "asking":
                break
            time.sleep(POLL_SECONDS)
        warn(f"lost: {loss}" for loss in result["lost"])
        if result["not_asked"]:
            warn(
                [
                    f"not asked, because they have no link to this node: {', '.join(result['not_asked'])}"
                ]
            )
        warn(result["warnings"])
        finish(ask, target, result, output)

    return remove


def finish(ask: Ask, target: Target, result: dict[str, Any], output: Output) -> None:
    """Print what was done; end with status 1 if this node could not write it into its file."""
    unwritten = why_unwritten(ask, target)
    show({**result, "unwritten": unwritten}, output, describe)
    fail_if_unwritten(unwritten)


def why_unwritten(ask: Ask, target: Target) -> str:
    """Wait until the disk has the members; return why it has not, or an empty text."""
    deadline = time.perf_counter() + WRITE_SECONDS_MAX
    while (now := ask(target, "membership"))["is_writing"]:
        if time.perf_counter() >= deadline:
            return f"the disk has not answered for {WRITE_SECONDS_MAX:g} s"
        time.sleep(POLL_SECONDS)
    return str(now["unwritten"])


def fail_if_unwritten(unwritten: str) -> None:
    """End with status 1 and one line, if there is something to say."""
    if unwritten:
        fail(
            f"the change is in force, but cluster.toml of this node does not have it: {unwritten};"
            " remove the cause, then run `ramsterctl config reload` or repeat the command"
        )


def describe(result: dict[str, Any]) -> str:
    """Return what was done."""
    node = result["node"]
    where = join_endpoint(node["address"], node["port"])
    already = "" if result["is_changed"] else " already"
    origin = result["membership_origin"]
    changed_at = f", changed at node {origin}" if origin else ""
    return (
        f"node {node['name']} ({node['number']}) at {where} is {result['state']}{already}\n"
        f"membership version {result['membership_version']}{changed_at}"
    )
