"""The command line of the operator: `ramsterctl`, which asks a daemon over its control socket."""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any, Final

import click

from config.units import human_bytes
from ramsterd import __version__
from ramsterd.cli.ask import ask
from ramsterd.cli.cluster import cluster
from ramsterd.cli.config import config_group
from ramsterd.cli.memory import memory_group
from ramsterd.cli.nbd import nbd_group
from ramsterd.cli.node import node_group
from ramsterd.cli.output import JSON_OPTION, show
from ramsterd.cli.state import export_group, exports_command, format_lost, pool_group

POLL_SECONDS: Final = 0.25


@click.group()
@click.version_option(__version__, prog_name="ramsterctl")
@click.option(
    "--socket",
    "socket_path",
    type=click.Path(path_type=Path),
    default=Path("/run/ramster/control.sock"),
    show_default=True,
    help="The daemon's control socket ([control] socket in ramsterd.toml).",
)
@click.pass_context
def main(context: click.Context, socket_path: Path) -> None:
    """Ask a running ramsterd how it is."""
    context.obj = socket_path


@main.command()
@JSON_OPTION
@click.pass_obj
def status(socket_path: Path, as_json: bool) -> None:
    """Show memory, pages and traffic of this node."""
    result = ask(socket_path, "status")
    show(result, as_json, format_status)


@main.command()
@JSON_OPTION
@click.pass_obj
def nodes(socket_path: Path, as_json: bool) -> None:
    """Show every member of the cluster as this node sees it."""
    result = ask(socket_path, "nodes")
    show(result, as_json, format_nodes)
    if not as_json:
        now = ask(socket_path, "status")
        for line in format_lost(now["state_file"]):
            click.echo(line)


@main.command(context_settings={"ignore_unknown_options": True}, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def demo(arguments: tuple[str, ...]) -> None:
    """Watch pages move between three daemons on this machine (--from DIR: with your files)."""
    # The demo starts whole daemons, so it stands above this module: it takes over the process.
    # -P: a folder that happens to hold a file named as one of our packages must not replace it.
    command = [sys.executable, "-P", "-m", "ramsterd.demo", *arguments]
    os.execv(sys.executable, command)  # noqa: S606  our own interpreter, no shell


@main.command()
@JSON_OPTION
@click.pass_obj
def pools(socket_path: Path, as_json: bool) -> None:
    """Show every pool that programs made at the tmem socket."""
    result = ask(socket_path, "pools")
    show(result, as_json, format_pools)


@main.command()
@click.option(
    "--invariants",
    is_flag=True,
    help="Also check that all tables agree.",
)
@JSON_OPTION
@click.pass_obj
def verify(socket_path: Path, invariants: bool, as_json: bool) -> None:
    """Unpack every zpage in this node's memory, and compare it with its checksum.

    Programs go on meanwhile.  A damaged page is dropped: another copy is used if there is one.
    The exit status is 1 if any was found, or if tables contradict each other.  Ctrl-C ends the waiting only.
    """
    ask(socket_path, "verify", invariants=invariants)
    while True:
        engine = ask(socket_path, "status")["engine"]
        scrub, audit = engine["scrub"], engine["audit"]
        if not scrub["is_running"] and not (invariants and audit["is_running"]):
            break
        if not as_json:
            click.echo(f"{scrub['blocks_seen']} of {scrub['blocks']} blocks")
        time.sleep(POLL_SECONDS)
    problem = audit["problem"] if invariants else ""
    if as_json:
        click.echo(json.dumps({**scrub, "tables": audit} if invariants else scrub, indent=2))
    else:
        tables = f"tables contradict each other ({problem}), " if problem else "all tables agree, "
        click.echo(
            f"{tables if invariants else ''}"
            f"{scrub['zpages_checked']} zpages checked, {scrub['corrupt']} damaged"
        )
    if scrub["corrupt"] or problem:
        sys.exit(1)


main.add_command(memory_group(ask))
main.add_command(node_group(ask))
main.add_command(exports_command(ask))
main.add_command(export_group(ask))
main.add_command(pool_group(ask))
main.add_command(config_group(ask))
main.add_command(cluster)
main.add_command(nbd_group)


def format_status(now: dict[str, Any]) -> str:
    """Return the status as an operator reads it."""
    store, remotify, fetch = (
        now["engine"]["store"],
        now["engine"]["remotify"],
        now["engine"]["fetch"],
    )
    zbud, zpages, zbytes = store["zbud"], store["zpages"], store["zpage_bytes"]
    lines = [
        f"node {now['node']} ({now['number']}) of {now['cluster']}, up {now['uptime_seconds']:.0f} s",
        *format_members(now["membership"]),
        *format_config(now["config"]),
        f"memory    {human_bytes(zbud['resident_bytes'])} of {human_bytes(zbud['budget_bytes'])}"
        + format_resize(now["engine"]["resize"])
        + format_share(now["config"]["budget"]),
    ]
    lines += [
        f"  {family:<19}{zpages[family]:>10} pages {human_bytes(zbytes[family]):>12}"
        for family in zpages
    ]
    lines += [
        f"tables    {human_bytes(store['tables_bytes'])} of {human_bytes(store['tables_bytes_max'])}",
        f"loop      {format_loop(now['loop'])}",
        f"puts      {store['put_pages_total']} pages: {_counts(store, 'put', 'zero', 'same_filled', 'raw')}",
        f"gets      {_counts(store, 'get', 'local', 'remote', 'hole', 'lost')}",
        f"remotify  {_counts(remotify, '', 'stored', 'refused', 'unknown', 'overtaken')} pages",
        f"ephemeral {_counts(remotify['ephemeral'], '', 'stored', 'refused', 'unknown', 'forgotten')} pages",
        f"in flight {remotify['pages_in_flight']} pages on their way, {fetch['wanted_pages']} wanted",
        f"fetch     {_counts(fetch, '', 'fetched', 'localified', 'missing', 'ephemeral_miss', 'corrupt', 'unreachable')} pages",
        f"dropped   {store['evicted_pages_total']} ephemeral pages, {store['evicted_foreign_pages_total']} of them foreign",
        f"home      {now['engine']['repatriate']['repatriated_pages_total']} pages for good",
        f"compacted {now['engine']['compacted_zpages_total']} zpages",
        f"at risk   {format_at_risk(now['engine']['rebuild'])}",
        *format_bad_copies(now["engine"]),
        *format_recall(now["engine"]),
        f"refused   {now['pager']['refused_puts_total']} writes for want of room",
        f"lost      {store['lost_pages_total']} pages",
    ]
    lines += format_lost(now["state_file"])
    lines += format_certificate(now.get("certificate_expiry_seconds"))
    lines += format_heartbeat(now["heartbeat"])
    lines += format_log(now["log"])
    lines += [
        f"at node {each['node']}: {each['pages']} pages of ours"
        for each in now["engine"]["remote"]
        if not each["is_dead"]
    ]
    lines += [
        f"of node {each['node']}: {each['pages']} pages here" for each in now["engine"]["foreign"]
    ]
    lines += [
        f"export {each['name']}: {human_bytes(each['size_bytes'])}, {each['pages']} pages, {each['state']}"
        for each in now["exports"]
    ]
    return "\n".join(lines)


def format_log(log: dict[str, Any]) -> list[str]:
    """Return what the status says of the log; nothing while somebody reads it."""
    if not log["dropped_lines_total"]:
        return []
    return [f"log       {log['dropped_lines_total']} lines dropped: nobody reads standard error"]


def format_config(config: dict[str, Any]) -> list[str]:
    """Return what the status says of the last reload; nothing while all that the file says is in force."""
    lines = [f"RELOAD    failed: {problem}" for problem in config["problems"]]
    return lines + [f"RESTART   needed: {each}" for each in config["needs_restart"]]


def format_share(budget: str) -> str:
    """Return what a budget in percent came to at the start; nothing of one that is a size."""
    return f"; by the file {budget}" if "%" in budget else ""


def format_loop(loop: dict[str, Any]) -> str:
    """Return how long the event loop was busy at most."""
    cause = f", mostly by {loop['longest_name']}" if loop["longest_name"] else ""
    return f"busy for {1e3 * loop['longest_seconds']:.0f} ms at most{cause}"


def format_at_risk(rebuild: dict[str, Any]) -> str:
    """Return how many pages have fewer copies than asked, and when that is over."""
    if not rebuild["pages_at_risk"]:
        return "0 pages"
    left = rebuild["seconds_left"]
    when = "waiting for peers or room" if left is None else f"about {left:.0f} s left"
    return f"{rebuild['pages_at_risk']} pages have too few copies, {when}"


def format_bad_copies(engine: dict[str, Any]) -> list[str]:
    """Return a line for each peer that did not keep what it said it stored."""
    lines = []
    for node, trust in engine["trust"].items():
        if any(trust["bad_copies_total"].values()):
            bad = ", ".join(f"{pages} {kind}" for kind, pages in trust["bad_copies_total"].items())
            seconds = trust["distrusted_seconds"]
            wait = f"; it gets no new pages for {seconds:.0f} s" if seconds else ""
            lines.append(f"bad       pages at {node}: {bad}{wait}")
    return lines


def format_recall(engine: dict[str, Any]) -> list[str]:
    """Return what the status says of pages that somebody wants elsewhere; nothing while nobody does."""
    lines = []
    if engine["holder_recall"]["is_active"]:
        pages = engine["holder_recall"]["recall_pages"]
        lines.append(f"recall    {pages} pages of other nodes are asked to leave")
    if engine["owner_recall"]["recall_pages"]:
        lines.append(
            f"retake    {engine['owner_recall']['recall_pages']} pages of ours must leave peers"
        )
    return lines


def format_members(members: dict[str, Any]) -> list[str]:
    """Return what the status says of members; nothing while all is well."""
    lines = (
        ["REMOVED   this node is no member of the cluster any more"]
        if members["is_removed"]
        else []
    )
    return lines + ([f"MEMBERS   not written: {members['problem']}"] if members["problem"] else [])


def format_certificate(seconds_left: float | None) -> list[str]:
    """Return the line on the certificate of this node, none without TLS."""
    if seconds_left is None:
        return []
    days = abs(seconds_left) / 86_400
    if seconds_left < 0:
        return [f"tls       the certificate EXPIRED {days:.1f} days ago: no new links"]
    return [f"tls       the certificate expires in {days:.1f} days"]


def format_heartbeat(heartbeat: dict[str, Any] | None) -> list[str]:
    """Return the line on the failure detector: what it believes, how its probes end, and whether it trusts itself."""
    if heartbeat is None:
        return []
    detector = heartbeat["detector"]
    nodes, probes = detector["members"], detector["probes_total"]
    believed = ", ".join(f"{nodes[state]} {state}" for state in ("up", "suspect", "down"))
    dropped = sum(heartbeat["dropped_datagrams_total"].values())
    return [
        f"watching  {believed}; {sum(probes.values())} probes, {probes['failed']} failed;"
        f" {detector['cleared_downs_total']} of {detector['downs_total']} downs were wrong;"
        f" {dropped} datagrams dropped"
        + (f"; STARVED: {said}" if (said := _starved(detector)) else "")
    ]


def _starved(detector: dict[str, Any]) -> str:
    """Return why others are asked to give us nothing, or an empty text."""
    if not detector["is_starved"]:
        return ""
    if detector["is_in_doubt"]:
        return "most others seem dead, so it is rather this node that is cut off or short of CPU"
    return "answers come so late that this node is short of CPU, or its network is bad"


def format_resize(resize: dict[str, Any]) -> str:
    """Return what the status says of a change of the budget that has not reached its end."""
    if resize["state"] == "done":
        return ""
    why = ": no peer takes the rest" if resize["state"] == "stopped" else ""
    return f", {resize['state']} on the way to {human_bytes(resize['target_bytes'])}{why}"


def _counts(counters: dict[str, int], prefix: str, *names: str) -> str:
    """Return `12 zero, 3 raw` from counters named `PREFIX_zero_total`."""
    keys = {
        name: f"{prefix}_{name}_pages_total" if prefix else f"{name}_pages_total" for name in names
    }
    return ", ".join(f"{counters[key]} {name.replace('_', '-')}" for name, key in keys.items())


def format_nodes(rows: list[dict[str, Any]]) -> str:
    """Return one line a node."""
    head = f"{'NUMBER':>6}  {'NAME':<16} {'ADDRESS':<24} {'STATE':<9} {'LINK':<5} {'CORDON':<6}"
    lines = [f"{head} {'BAD':>6} {'FREE':<10} WHY"]
    for row in rows:
        config, said = row["config"], row["status"]
        link = "self" if row["is_local"] else "yes" if row["is_linked"] else "no"
        free = human_bytes(said["free_bytes"]) if said and row["is_linked"] else "-"
        where = f"{config['address']}:{config['port']}"
        cordon = "yes" if config["cordoned"] else "no"
        bad = sum(row["trust"]["bad_copies_total"].values()) if row["trust"] else 0
        lines.append(
            f"{config['number']:>6}  {config['name']:<16} {where:<24} {row['state']:<9} {link:<5} {cordon:<6}"
            f" {bad:>6} {free:<10} {why_no_link(row)}".rstrip()
        )
    return "\n".join(lines)


def why_no_link(row: dict[str, Any]) -> str:
    """Return why there is no link to a node; what it says of its own end counts more than a port that is closed."""
    if row["is_local"] or row["is_linked"]:
        return ""
    if row["state"] == "left":
        return str(row["reason"])
    text = str(row["link_reason"] or row["reason"])
    return {"refused_here": "refused here: ", "refused_there": "it refuses us: "}.get(
        row["link"], ""
    ) + text


def format_pools(rows: list[dict[str, Any]]) -> str:
    """Return one line a pool; a private one has no name."""
    lines = [
        f"{'USER':>6}  {'NAME':<24} {'KIND':<10} {'CODEC':<5} {'PAGES':>10} {'OBJECTS':>8} CLIENTS"
    ]
    lines += [
        f"{row['user']:>6}  {row['name'] or '-':<24} {row['kind']:<10} "
        f"{row['codec']:<5} {row['pages']:>10} "
        f"{row['objects']:>8} {row['connections']}"
        for row in rows
    ]
    return "\n".join(lines)
