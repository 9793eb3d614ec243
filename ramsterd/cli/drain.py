"""`ramsterctl node drain`: the command line, and what a dry run shows."""

import time
from typing import Any, Final

import click

from config.units import human_bytes, human_count
from ramsterd.cli.ask import Ask
from ramsterd.cli.job_options import DEADLINE_OPTION, DETACH_OPTION, REASON_OPTION
from ramsterd.cli.job_watching import status_of, tell_end, watch
from ramsterd.cli.membership_file import describe, fail_if_unwritten, why_unwritten
from ramsterd.cli.output import OUTPUT_OPTION, Output, fail, show, show_json, warn
from ramsterd.cli.target import Target

POLL_SECONDS: Final = 0.25


def drain_command(ask: Ask) -> click.Command:
    """Return the command."""

    @click.command("drain")
    @click.argument("name")
    @DETACH_OPTION
    @DEADLINE_OPTION
    @click.option("--dry-run", is_flag=True, help="Say what would happen, and change nothing.")
    @REASON_OPTION
    @OUTPUT_OPTION
    @click.pass_obj
    def drain(
        target: Target,
        name: str,
        is_monitored: bool,
        deadline_seconds: int | None,
        dry_run: bool,
        reason: str,
        output: Output,
    ) -> None:
        """Empty node NAME, so that it can be stopped or removed.

        The node gets no new pages.  The pages that it holds for other nodes go back to their owners
        or to other nodes.  Its own pages at peers are fetched back, as far as they fit.  Programs
        on all nodes continue meanwhile.  It is a job: `jobs` shows it at each member, `job watch`
        shows how far it is, `job cancel` or `node uncordon` ends it.  To drain a node that drains
        already changes the deadline and the reason.

        The job is done when the node holds no pages of other nodes, and its own pages are back or
        have made no progress for 10 s.  A deadline drops no page: the drain becomes overdue, and
        goes on.  Ctrl-C ends the waiting, not the drain.
        """
        if dry_run:
            _show_plan(ask, target, name, output)
            return
        begun = ask(
            target, "node-drain", name=name, deadline_seconds=deadline_seconds, reason=reason
        )
        # Before any progress: who reads that redundancy drops may want to end the drain.
        warn(begun["warnings"])
        begun["unwritten"] = why_unwritten(ask, target)
        if not is_monitored:
            show(begun, output, lambda each: f"{describe(each)}\n{_how_to_watch(each)}")
            fail_if_unwritten(begun["unwritten"])
            return
        job = watch(ask, target, begun["job"], is_quiet=output.is_json)
        if output.is_json:
            said = ask(target, "status")["membership"]["drains"].get(begun["node"]["name"], {})
            show_json({**begun, **said, "ended": job})
        else:
            tell_end(job)
            if not status_of(job):
                click.echo(_next_steps(name, job))
        fail_if_unwritten(begun["unwritten"])
        raise SystemExit(status_of(job))

    return drain


def _how_to_watch(begun: dict[str, Any]) -> str:
    name = begun["job"]
    return f"next: `ramsterctl job watch {name}` shows how far it is; `ramsterctl job cancel {name}` ends it"


def _next_steps(name: str, job: dict[str, Any]) -> str:
    """Return what to type after a drain."""
    first = "see the warning; then " if job["remarks"] else ""
    return (
        f"next: {first}stop ramsterd on {name}, or `ramsterctl node remove {name}`;"
        f" `ramsterctl node uncordon {name}` gives it pages again"
    )


def _show_plan(ask: Ask, target: Target, name: str, output: Output) -> None:
    while True:
        plan = ask(target, "node-drain", name=name, dry_run=True)
        if plan["state"] != "asking":
            break
        time.sleep(POLL_SECONDS)
    problem = why_no_plan(plan)
    if output.is_json or not problem:
        show(plan, output, format_plan)
    if problem:
        fail(problem)
    raise SystemExit(0 if plan["has_room"] else 1)


def why_no_plan(plan: dict[str, Any]) -> str:
    """Return why nobody knows what a drain would do; empty: it is known."""
    node = plan["node"]
    if plan["pages_foreign"] is not None:
        return ""
    if plan.get("is_down"):
        return f"node {node} is down and can't be asked: a drain begins when it is back"
    return f"node {node} has no link to this node: type the command at a node that has one"


def format_plan(plan: dict[str, Any]) -> str:
    """Return what a drain would do: pages, where there is room, risks, and a verdict."""
    node = plan["node"]
    pages, size = human_count(plan["pages_foreign"]), human_bytes(plan["bytes_max"])
    lines = [f"{pages} of other nodes would leave node {node}, {size} at most"]
    lines += [f"  {human_count(each['pages'])} of node {each['node']}" for each in plan["owners"]]
    if plan["pages_own_elsewhere"]:
        lines.append(
            f"{human_count(plan['pages_own_elsewhere'])} of {node} itself would come back, as far as they fit"
        )
    lines.append(f"room at other nodes: {human_bytes(plan['room_bytes'])}")
    lines += [
        f"  {each['node']}: {each['why'] or human_bytes(each['free_bytes'])}"
        for each in plan["rooms"]
    ]
    lines += [f"risk: {risk}" for risk in plan["risks"]]
    if plan.get("is_enough_elsewhere"):
        copies = "1 copy" if plan["copies_after"] == 1 else f"{plan['copies_after']} copies"
        verdict = f"no page has to move: each keeps {copies} after the drain, at other nodes"
    elif plan["has_room"]:
        verdict = "there is room"
    else:
        verdict = "there is not enough room: pages without room would stay, and none is lost"
    return "\n".join([*lines, f"{verdict}; nothing has changed"])
