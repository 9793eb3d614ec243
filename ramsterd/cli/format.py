"""What `ramsterctl status` prints for people: one line for each thing, under the name of its counter.

The text behind a label says what is counted in words that need no glossary; docs/guide.md leads
from there to the names in the JSON.  A line that asks an operator to act has its label in capitals.
"""

from operator import itemgetter
from typing import Any, Final

from config.units import human_bytes, human_count
from ramsterd.cli.format_health import format_health_line
from ramsterd.cli.format_kept import format_kept
from ramsterd.cli.format_protection import format_protection
from ramsterd.cli.state import format_lost
from ramsterd.cli.status_line import line
from ramsterd.host.validity import format_validity
from ramsterd.remote.fetch.unreachable_wait import UnreachableWait

# By family: whose these pages are, and what may become of them.
FAMILIES: Final = {
    "own_persistent": "of this node; must not be lost",
    "own_ephemeral": "of this node; may be dropped at any time",
    "own_clean": "of this node; peers have copies, so these may be dropped",
    "foreign_persistent": "of other nodes; must not be lost",
    "foreign_ephemeral": "of other nodes; may be dropped at any time",
}
# How a copy is bad, by kind.
BAD_COPIES: Final = {
    "missing": "missing",
    "damaged": "damaged",
    "disowned": "disowned (it says that it has none)",
}


def format_status(now: dict[str, Any], *, at: float) -> str:
    """Return the status as an operator reads it; `at` is when, in seconds since 1970."""
    engine, store = now["engine"], now["engine"]["store"]
    lines = [
        format_node(now),
        format_health_line(now["health"]),
        *format_members(now["membership"]),
        *format_addresses(now["addresses"], now["listener"]["outdated_links"]),
        *format_config(now["config"]),
        *format_memory_use(now),
        *format_kept(now["memory"], engine["scrub"]),
        format_protection(now["protection"]),
        line("event loop", format_loop(now["loop_stall"])),
        *format_puts_and_gets(store),
        *format_traffic(engine["remotify"], engine["fetch"]),
        *(
            line("WAITING", str(UnreachableWait(**each)))
            for each in now["pager"]["unreachable_waits"]
        ),
        line(
            "evicted",
            f"{store['evicted_pages_total']:,} ephemeral pages were dropped to make room;"
            f" {store['evicted_foreign_pages_total']:,} of them were of other nodes",
        ),
        line(
            "repatriated",
            f"{engine['repatriate']['repatriated_pages_total']:,} pages came back from peers to stay,"
            " because this node had room again",
        ),
        line(
            "compacted",
            f"{engine['compacted_zpages_total']:,} pages were moved inside the memory of this node, to free whole blocks",
        ),
        line("at risk", format_at_risk(engine)),
        *format_bad_copies(engine),
        *format_recall(engine),
        line("refused", format_refused(now["pager"])),
        line("lost", f"{store['lost_pages_total']:,} pages: no copy of them is left"),
        *format_lost(now["state_file"]),
        *format_certificate(now.get("certificate_expiry_seconds"), at=at),
        *format_heartbeat(now["heartbeat"]),
        *format_log(now["log"]),
        *format_holders(engine),
    ]
    lines += [
        line(
            f"export {each['name']}",
            f"{human_bytes(each['size_bytes'])}, {human_count(each['pages'])}, {each['state']}",
        )
        for each in now["exports"]
    ]
    return "\n".join(lines)


def format_node(now: dict[str, Any]) -> str:
    """Return which node this is, and what it runs."""
    who = f"node {now['node']} (number {now['number']}) of cluster {now['cluster']}"
    # A daemon of an earlier version does not tell.
    loops = "" if now.get("is_compiled", True) else " without compiled loops"
    return f"{who}, version {now['version']}{loops}, up {now['uptime_seconds']:,.0f} s"


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
        f"  {family.replace('_', ' '):<19}{zpages[family]:>13,} pages {human_bytes(zbytes[family]):>11}  {FAMILIES[family]}"
        for family in zpages
    ]
    tables, tables_max = human_bytes(store["tables_bytes"]), human_bytes(store["tables_bytes_max"])
    lines.append(line("tables", f"{tables} of {tables_max} in use"))
    return lines + format_reserve(store["reserve"])


def format_reserve(reserve: dict[str, Any]) -> list[str]:
    """Return how much of the reserve is there, if there is to be one."""
    if not reserve["wanted_bytes"]:
        return []
    ready, wanted = human_bytes(reserve["resident_bytes"]), human_bytes(reserve["wanted_bytes"])
    short = "; the kernel has no more memory now" if reserve["is_short"] else ""
    return [line("reserve", f"{ready} of {wanted} ready for a burst of writes{short}")]


def format_puts_and_gets(store: dict[str, Any]) -> list[str]:
    """Return what clients wrote and read."""
    put = {key: store[f"put_{key}pages_total"] for key in ("", "zero_", "same_filled_", "raw_")}
    get = {key: store[f"get_{key}_pages_total"] for key in ("local", "remote", "hole", "lost")}
    return [
        line(
            "put",
            f"clients wrote {put['']:,} pages: {put['zero_']:,} all zeros, {put['same_filled_']:,} of the same 8 bytes repeated,"
            f" {put['raw_']:,} stored uncompressed",
        ),
        line(
            "get",
            f"clients read {sum(get.values()):,} pages: {get['local']:,} from this node, {get['remote']:,} from peers,"
            f" {get['hole']:,} without data (never written, or discarded), {get['lost']:,} lost",
        ),
    ]


def format_traffic(remotify: dict[str, Any], fetch: dict[str, Any]) -> list[str]:
    """Return which pages went to peers, which came from peers, and which are on their way."""
    ephemeral = remotify["ephemeral"]
    return [
        line(
            "remotify",
            f"persistent pages sent to peers: {outcomes(remotify)},"
            f" {remotify['overtaken_pages_total']:,} changed meanwhile",
        ),
        line(
            "",
            f"ephemeral pages sent to peers: {outcomes(ephemeral)};"
            f" {ephemeral['forgotten_pages_total']:,} given up later, because they were the oldest",
        ),
        line(
            "fetch",
            f"peers returned {fetch['fetched_pages_total']:,} pages;"
            f" this node kept a copy of {fetch['localified_pages_total']:,} of them (localified)",
        ),
        line(
            "",
            f"peers did not return: {fetch['missing_pages_total']:,} lost by the peer,"
            f" {fetch['ephemeral_miss_pages_total']:,} ephemeral and dropped by the peer,"
            f" {fetch['corrupt_pages_total']:,} corrupt,"
            f" {fetch['unreachable_pages_total']:,} unreachable (no peer that has it answers)",
        ),
        line(
            "in flight",
            f"{remotify['pages_in_flight']:,} pages are on the way to peers;"
            f" clients wait for {fetch['wanted_pages']:,} pages from peers",
        ),
    ]


def outcomes(remotify: dict[str, Any]) -> str:
    """Return what became of pages that were sent to peers."""
    return (
        f"{remotify['stored_pages_total']:,} stored, {remotify['refused_pages_total']:,} refused,"
        f" {remotify['unknown_pages_total']:,} without an answer"
    )


def format_log(log: dict[str, Any]) -> list[str]:
    """Return what the status says of the log; nothing while somebody reads it."""
    if not log["dropped_lines_total"]:
        return []
    return [
        line("log", f"{log['dropped_lines_total']:,} lines dropped: nobody reads standard error")
    ]


def format_config(config: dict[str, Any]) -> list[str]:
    """Return what the status says of the last reload.

    Nothing while all that the file says is in force.
    """
    lines = [line("RELOAD", f"failed: {problem}") for problem in config["problems"]]
    return lines + [line("RESTART", f"needed: {each}") for each in config["needs_restart"]]


def format_share(budget: str) -> str:
    """Return what a budget in percent came to at the start; nothing of one that is a size."""
    return f"; in ramsterd.toml: {budget}" if "%" in budget else ""


def format_loop(loop: dict[str, Any]) -> str:
    """Return how long the event loop was busy at most."""
    cause = f", mostly by {loop['longest_name']}" if loop["longest_name"] else ""
    return f"longest pause {1e3 * loop['longest_seconds']:,.0f} ms{cause}"


def format_at_risk(engine: dict[str, Any]) -> str:
    """Return how many pages have fewer copies than asked, and when that is over."""
    rebuild = engine["rebuild"]
    found = human_count(rebuild["pages_at_risk"])
    if rebuild["is_counting"]:
        return f"being counted: {found} with too few copies so far"
    text = f"{found} with too few copies"
    if not rebuild["pages_at_risk"]:
        return text
    left = rebuild["seconds_left"]
    when = _waits_for(engine) if left is None else f"about {left:,.0f} s left"
    return f"{text}: {when}"


def _waits_for(engine: dict[str, Any]) -> str:
    """Return what pages at risk wait for: peers that are up, or room there."""
    peers = [row for row in engine["nodes"]["nodes"] if not row["is_local"]]
    linked = [row for row in peers if row["is_linked"]]
    with_room = sum(bool(row["status"] and row["status"]["free_bytes"]) for row in linked)
    return (
        f"waiting for more peers with room ({len(linked)} of {len(peers)} peers have a link,"
        f" {with_room} of these have room); `ramsterctl health` says what to type"
    )


def format_refused(pager: dict[str, Any]) -> str:
    """Return how many writes found no room, and how many of these no client need care about."""
    refused, ephemeral = pager["refused_puts_total"], pager["refused_ephemeral_puts_total"]
    return (
        f"{refused - ephemeral:,} writes, because neither this node nor its peers had room;"
        f" {ephemeral:,} puts of ephemeral pages were dropped for the same reason"
    )


def format_bad_copies(engine: dict[str, Any]) -> list[str]:
    """Return a line for each peer that did not keep what it said it stored."""
    lines = []
    for node, trust in engine["trust"].items():
        if any(trust["bad_copies_total"].values()):
            bad = ", ".join(
                f"{pages:,} {BAD_COPIES[kind]}" for kind, pages in trust["bad_copies_total"].items()
            )
            seconds = trust["distrusted_seconds"]
            wait = f"; {node} gets no new pages for {seconds:,.0f} s" if seconds else ""
            lines.append(line("BAD COPIES", f"of the pages that {node} stored: {bad}{wait}"))
    return lines


def format_recall(engine: dict[str, Any]) -> list[str]:
    """Return what the status says of pages that somebody wants elsewhere.

    Nothing while nobody does.
    """
    lines = []
    if engine["holder_recall"]["is_active"]:
        pages = engine["holder_recall"]["recall_pages"]
        lines.append(line("recall", f"{pages:,} pages of other nodes must leave this node"))
    if pages := engine["owner_recall"]["recall_pages"]:
        lines.append(line("recall", f"{pages:,} pages of this node must leave its peers"))
    return lines


def format_members(members: dict[str, Any]) -> list[str]:
    """Return what the status says of members; nothing while all is well."""
    lines = []
    if members["is_removed"]:
        lines.append(line("REMOVED", "this node is not a member of the cluster any more"))
    if members["problem"]:
        lines.append(line("MEMBERS", f"not written: {members['problem']}"))
    elif members["unwritable"]:
        lines.append(line("MEMBERS", f"the next change can't be written: {members['unwritable']}"))
    return lines


def format_addresses(addresses: dict[str, Any], outdated_links: int) -> list[str]:
    """Return what the status says of addresses; nothing while all is well."""
    problems = [
        f"the name {row['host']} has no address here: {row['problem']}"
        for row in addresses["names"]
        if row["problem"]
    ]
    problems += [addresses["problem"]] if addresses["problem"] else []
    if outdated_links:
        still = human_count(outdated_links, "link")
        problems.append(f"{still} at the address that a node had before it moved")
    return [line("ADDRESS", problem) for problem in problems]


def format_certificate(seconds_left: float | None, *, at: float) -> list[str]:
    """Return the line on the certificate of this node, none without TLS."""
    if seconds_left is None:
        return []
    text = f"the certificate {format_validity(at + seconds_left, at=at)}"
    return [line("TLS", f"no new links: {text}") if seconds_left < 0 else line("tls", text)]


def format_heartbeat(heartbeat: dict[str, Any] | None) -> list[str]:
    """Return the line on the failure detector: what it believes, how its probes end, and whether it trusts itself."""
    if heartbeat is None:
        return []
    detector = heartbeat["detector"]
    members, probes = detector["members"], detector["probes_total"]
    states = ", ".join(f"{members[state]:,} {state}" for state in ("up", "suspect", "down"))
    dropped = sum(heartbeat["dropped_datagrams_total"].values())
    lines = [
        line(
            "heartbeat",
            f"other nodes: {states}; {probes['failed']:,} of {sum(probes.values()):,} probes failed;"
            f" {detector['cleared_downs_total']:,} of {detector['downs_total']:,} reports of a node down were false alarms;"
            f" {dropped:,} datagrams dropped",
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
    """Return where pages of this node are, and whose pages are here: by name, so that a second look finds them again."""
    rows = {row["config"]["name"]: row for row in engine["nodes"]["nodes"]}
    lines = [
        line(f"at {each['node']}", format_holder(each, rows.get(each["node"])))
        for each in sorted(engine["remote"], key=itemgetter("node"))
        if not each["is_dead"]
    ]
    return lines + [
        line(f"from {each['node']}", f"{each['pages']:,} pages of {each['node']} are here")
        for each in sorted(engine["foreign"], key=itemgetter("node"))
    ]


def format_holder(holder: dict[str, Any], row: dict[str, Any] | None) -> str:
    """Return how many pages of this node a peer keeps; one without a link can give none back."""
    node, pages = holder["node"], f"{holder['pages']:,} pages of this node"
    if not holder["pages"] or row is None or row["is_linked"]:
        return f"{pages} are there"
    if row["state"] == "left":
        return f"{pages} were there; {node} has stopped, so these copies are gone"
    return (
        f"{pages} are there, but {node} has no link: they can't be read until ramsterd runs there again, with the same"
        f" memory. Start ramsterd on {node}; without [memory] keep there, these copies are gone"
    )
