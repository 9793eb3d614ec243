"""What `ramsterctl status`, `nodes` and `pools` print for people: one line for each thing, under the name of its counter.

A line that asks an operator to act has its label in capitals.
"""

from typing import Any, Final

from config.endpoint import join_endpoint
from config.units import human_bytes
from ramsterd.cli.state import format_lost

# Of the longest label but for names of nodes and exports.
LABEL_WIDTH: Final = 14


def line(label: str, text: str) -> str:
    """Return one line of the status."""
    return f"{label:<{LABEL_WIDTH}} {text}"


def format_status(now: dict[str, Any]) -> str:
    """Return the status as an operator reads it."""
    engine, store = now["engine"], now["engine"]["store"]
    lines = [
        format_node(now),
        *format_members(now["membership"]),
        *format_config(now["config"]),
        *format_memory_use(now),
        line("event loop", format_loop(now["loop_stall"])),
        *format_puts_and_gets(store),
        *format_traffic(engine["remotify"], engine["fetch"]),
        line(
            "evicted",
            f"{store['evicted_pages_total']} ephemeral pages,"
            f" {store['evicted_foreign_pages_total']} of them of other nodes",
        ),
        line("repatriated", f"{engine['repatriate']['repatriated_pages_total']} pages"),
        line("compacted", f"{engine['compacted_zpages_total']} zpages moved out of sparse blocks"),
        line("at risk", format_at_risk(engine["rebuild"])),
        *format_bad_copies(engine),
        *format_recall(engine),
        line("refused", f"{now['pager']['refused_puts_total']} writes, because there was no room"),
        line("lost", f"{store['lost_pages_total']} pages"),
        *format_lost(now["state_file"]),
        *format_certificate(now.get("certificate_expiry_seconds")),
        *format_heartbeat(now["heartbeat"]),
        *format_log(now["log"]),
        *format_holders(engine),
    ]
    lines += [
        line(
            f"export {each['name']}",
            f"{human_bytes(each['size_bytes'])}, {each['pages']} pages, {each['state']}",
        )
        for each in now["exports"]
    ]
    return "\n".join(lines)


def format_node(now: dict[str, Any]) -> str:
    """Return which node this is."""
    who = f"node {now['node']} (number {now['number']}) of cluster {now['cluster']}"
    return f"{who}, up {now['uptime_seconds']:.0f} s"


def format_memory_use(now: dict[str, Any]) -> list[str]:
    """Return what the arena and the tables use, and the arena's pages by kind."""
    engine, store = now["engine"], now["engine"]["store"]
    zbud, zpages, zbytes = store["zbud"], store["zpages"], store["zpage_bytes"]
    used, budget = human_bytes(zbud["resident_bytes"]), human_bytes(zbud["budget_bytes"])
    lines = [
        line(
            "memory",
            f"{used} of {budget} in use"
            + format_resize(engine["resize"])
            + format_share(now["config"]["budget"]),
        )
    ]
    lines += [
        f"  {family.replace('_', ' '):<19}{zpages[family]:>10} pages {human_bytes(zbytes[family]):>12}"
        for family in zpages
    ]
    tables, tables_max = human_bytes(store["tables_bytes"]), human_bytes(store["tables_bytes_max"])
    return [*lines, line("tables", f"{tables} of {tables_max} in use")]


def format_puts_and_gets(store: dict[str, Any]) -> list[str]:
    """Return what clients wrote and read."""
    puts = counts(store, "put_{}_pages_total", "zero", "same_filled", "raw")
    places = ("local", "remote", "hole", "lost")
    gets = {place: store[f"get_{place}_pages_total"] for place in places}
    return [
        line("put", f"{store['put_pages_total']} pages written by clients: {puts}"),
        line(
            "get",
            f"{sum(gets.values())} pages read by clients: {gets['local']} local, {gets['remote']} remote,"
            f" {gets['hole']} hole (never written), {gets['lost']} lost",
        ),
    ]


def format_traffic(remotify: dict[str, Any], fetch: dict[str, Any]) -> list[str]:
    """Return which pages went to peers, which came from peers, and which are on their way."""
    ephemeral, fetched = remotify["ephemeral"], fetch["fetched_pages_total"]
    failed = (
        f"failed: {fetch['missing_pages_total']} missing (lost by their holder),"
        f" {fetch['ephemeral_miss_pages_total']} ephemeral misses (evicted by their holder),"
        f" {counts(fetch, '{}_pages_total', 'corrupt', 'unreachable')}"
    )
    return [
        line(
            "remotify",
            f"persistent pages sent to peers: {outcomes(remotify)},"
            f" {remotify['overtaken_pages_total']} overtaken (changed meanwhile)",
        ),
        line(
            "",
            f"ephemeral pages sent to peers: {outcomes(ephemeral)},"
            f" {ephemeral['forgotten_pages_total']} forgotten",
        ),
        line(
            "fetch",
            f"{fetched} pages from peers; localified (kept here again): {fetch['localified_pages_total']}",
        ),
        line("", failed),
        line(
            "in flight",
            f"{remotify['pages_in_flight']} pages to peers; {fetch['wanted_pages']} pages wanted from peers",
        ),
    ]


def outcomes(remotify: dict[str, Any]) -> str:
    """Return what became of pages that were sent to peers."""
    done = counts(remotify, "{}_pages_total", "stored", "refused")
    return f"{done}, {remotify['unknown_pages_total']} unknown (no answer)"


def counts(counters: dict[str, int], pattern: str, *names: str) -> str:
    """Return `12 zero, 3 raw` from counters whose names follow a pattern."""
    return ", ".join(f"{counters[pattern.format(name)]} {name.replace('_', '-')}" for name in names)


def format_log(log: dict[str, Any]) -> list[str]:
    """Return what the status says of the log; nothing while somebody reads it."""
    if not log["dropped_lines_total"]:
        return []
    return [line("log", f"{log['dropped_lines_total']} lines dropped: nobody reads standard error")]


def format_config(config: dict[str, Any]) -> list[str]:
    """Return what the status says of the last reload; nothing while all that the file says is in force."""
    lines = [line("RELOAD", f"failed: {problem}") for problem in config["problems"]]
    return lines + [line("RESTART", f"needed: {each}") for each in config["needs_restart"]]


def format_share(budget: str) -> str:
    """Return what a budget in percent came to at the start; nothing of one that is a size."""
    return f"; in ramsterd.toml: {budget}" if "%" in budget else ""


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
    return f"{rebuild['pages_at_risk']} pages have too few copies: {when}"


def format_bad_copies(engine: dict[str, Any]) -> list[str]:
    """Return a line for each peer that did not keep what it said it stored."""
    lines = []
    for node, trust in engine["trust"].items():
        if any(trust["bad_copies_total"].values()):
            bad = ", ".join(f"{pages} {kind}" for kind, pages in trust["bad_copies_total"].items())
            seconds = trust["distrusted_seconds"]
            wait = f"; {node} gets no new pages for {seconds:.0f} s" if seconds else ""
            lines.append(line("BAD COPIES", f"at {node}: {bad}{wait}"))
    return lines


def format_recall(engine: dict[str, Any]) -> list[str]:
    """Return what the status says of pages that somebody wants elsewhere; nothing while nobody does."""
    lines = []
    if engine["holder_recall"]["is_active"]:
        pages = engine["holder_recall"]["recall_pages"]
        lines.append(line("recall", f"{pages} pages of other nodes must leave this node"))
    if pages := engine["owner_recall"]["recall_pages"]:
        lines.append(line("recall", f"{pages} pages of this node must leave its peers"))
    return lines


def format_members(members: dict[str, Any]) -> list[str]:
    """Return what the status says of members; nothing while all is well."""
    lines = []
    if members["is_removed"]:
        lines.append(line("REMOVED", "this node is not a member of the cluster any more"))
    if members["problem"]:
        lines.append(line("MEMBERS", f"not written: {members['problem']}"))
    return lines


def format_certificate(seconds_left: float | None) -> list[str]:
    """Return the line on the certificate of this node, none without TLS."""
    if seconds_left is None:
        return []
    days = abs(seconds_left) / 86_400
    if seconds_left < 0:
        return [line("TLS", f"no new links: the certificate expired {days:.1f} days ago")]
    return [line("tls", f"the certificate expires in {days:.1f} days")]


def format_heartbeat(heartbeat: dict[str, Any] | None) -> list[str]:
    """Return the line on the failure detector: what it believes, how its probes end, and whether it trusts itself."""
    if heartbeat is None:
        return []
    detector = heartbeat["detector"]
    members, probes = detector["members"], detector["probes_total"]
    states = ", ".join(f"{members[state]} {state}" for state in ("up", "suspect", "down"))
    dropped = sum(heartbeat["dropped_datagrams_total"].values())
    lines = [
        line(
            "heartbeat",
            f"other nodes: {states}; {probes['failed']} of {sum(probes.values())} probes failed;"
            f" {detector['cleared_downs_total']} of {detector['downs_total']} downs were wrong;"
            f" {dropped} datagrams dropped",
        )
    ]
    return lines + ([line("STARVED", _starved(detector))] if detector["is_starved"] else [])


def _starved(detector: dict[str, Any]) -> str:
    """Return why others are asked to give us nothing."""
    if detector["is_in_doubt"]:
        return "most nodes seem down: probably this node has no network, or is short of CPU"
    return "answers come late: this node is short of CPU, or its network is bad"


def format_resize(resize: dict[str, Any]) -> str:
    """Return what the status says of a change of the budget that has not reached its end."""
    target = human_bytes(resize["target_bytes"])
    match resize["state"]:
        case "shrinking":
            return f", shrinking to {target}"
        case "stopped":
            return f"; shrinking to {target} stopped: no peer has room for the rest"
        case _:
            return ""


def format_holders(engine: dict[str, Any]) -> list[str]:
    """Return where pages of this node are, and whose pages are here."""
    lines = [
        line(f"at {each['node']}", f"{each['pages']} pages of this node are there")
        for each in engine["remote"]
        if not each["is_dead"]
    ]
    return lines + [
        line(f"from {each['node']}", f"{each['pages']} pages of {each['node']} are here")
        for each in engine["foreign"]
    ]


def format_nodes(rows: list[dict[str, Any]]) -> str:
    """Return one line a node."""
    head = f"{'NUMBER':>6}  {'NAME':<16} {'ADDRESS':<24} {'STATE':<9} {'LINK':<5} {'CORDONED':<8}"
    lines = [f"{head} {'BAD COPIES':>10} {'FREE':<10} WHY NO LINK"]
    for row in rows:
        config, said = row["config"], row["status"]
        link = "self" if row["is_local"] else "yes" if row["is_linked"] else "no"
        free = human_bytes(said["free_bytes"]) if said and row["is_linked"] else "-"
        where = join_endpoint(config["address"], config["port"])
        cordoned = "yes" if config["cordoned"] else "no"
        bad = sum(row["trust"]["bad_copies_total"].values()) if row["trust"] else 0
        lines.append(
            f"{config['number']:>6}  {config['name']:<16} {where:<24} {row['state']:<9} {link:<5} {cordoned:<8}"
            f" {bad:>10} {free:<10} {why_no_link(row)}".rstrip()
        )
    return "\n".join(lines)


def why_no_link(row: dict[str, Any]) -> str:
    """Return why there is no link to a node; what it says of its own end counts more than a port that is closed."""
    if row["is_local"] or row["is_linked"]:
        return ""
    if row["state"] == "left":
        return str(row["reason"])
    text = str(row["link_reason"] or row["reason"])
    return {
        "refused_here": "this node refuses it: ",
        "refused_there": "it refuses this node: ",
    }.get(row["link"], "") + text


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
