"""Do other nodes reach this one, and does it reach them: ports, links, heartbeats, sizes of packets.  Pure.

The node with the higher number connects to the other one, so of each pair one direction of TCP is
needed.  Heartbeats go both ways, by UDP, to the same port.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final

from config.units import human_count
from nodemanager.states import LinkState
from ramsterd.doctor import fixes
from ramsterd.doctor.facts import Facts
from ramsterd.doctor.findings import Finding, State, ok
from ramsterd.doctor.surroundings import Cluster, Peer, Port, Reach
from ramsterd.health.wording import are, ask_doctor, named

# Every node probes every other one once in a round, and a round has an interval for each.  A node
# that does badly probes less often (heartbeat.awareness).
ROUNDS_MAX: Final = 4
HEARTBEAT_SECONDS_MIN: Final = 10.0
# A link takes no longer.
LINK_SECONDS: Final = 10.0
_TURNED_AWAY: Final = frozenset(
    state.name.lower() for state in (LinkState.REFUSED_HERE, LinkState.REFUSED_THERE)
)
_NO_LINK: Final = "no page goes there, and none comes back"


def check_ports(cluster: Cluster) -> Iterator[Finding]:
    """Judge whether the ports of this node are free before a start, or its own after it."""
    if cluster.is_running:
        place = f"{cluster.address} port {cluster.port}"
        yield ok("ports", f"ramsterd listens at {place}, TCP and UDP")
        return
    taken = [port for port in cluster.ports if port.problem]
    for port in taken:
        yield _taken(port)
    if not taken:
        ports = sorted({port.port for port in cluster.ports})
        yield ok("ports", f"free for a start: {', '.join(map(str, ports))}")


def _taken(port: Port) -> Finding:
    what = "-ltnp" if port.protocol == "TCP" else "-lunp"
    return Finding(
        check="ports",
        state=State.ERROR,
        risk="ramsterd does not start",
        found=f"{port.address} {port.protocol} port {port.port} ({port.key}): {port.problem}",
        expected="an address of this machine" if port.is_foreign else "a port that nobody has",
        fix=f"ip address, to see the addresses of this machine; correct {port.key}"
        if port.is_foreign
        else f"ss {what} 'sport = :{port.port}', to see who has it; stop that program, or change {port.key}",
    )


def check_links(facts: Facts, cluster: Cluster) -> Iterator[Finding]:
    """Judge TCP: who can be reached from here, and who has a link."""
    peers = cluster.peers
    linked = [peer for peer in peers if peer.reach is Reach.LINKED]
    groups: tuple[tuple[Callable[[Cluster, Peer], bool], Callable[..., Finding]], ...] = (
        (_is_silent, _silent),
        (_has_no_route, _no_route),
        (_has_no_address, partial(_no_address, facts)),
        (_is_refused, _refused),
        (_is_unlinked, _unlinked),
    )
    findings = []
    for belongs, finding_of in groups:
        if them := [peer for peer in peers if belongs(cluster, peer)]:
            findings.append(finding_of(cluster, them))
    yield from findings
    untried = [peer.name for peer in peers if peer.reach is Reach.NOT_TRIED]
    if untried:
        yield Finding(
            check="links",
            state=State.WARNING,
            risk="nobody knows whether these nodes can be reached",
            found=f"no time left for {named(untried)}",
            expected="answers of all nodes in time",
            fix=f"{ask_doctor(facts.file)}, again, once the other findings are ok",
        )
    elif not findings and cluster.is_running:
        yield ok("links", f"{human_count(len(linked), 'other node')} {are(len(linked))} linked")
    elif not findings:
        yield ok("links", f"{human_count(len(peers), 'other node')} can be reached by TCP")


def _is_silent(_: Cluster, peer: Peer) -> bool:
    return peer.reach is Reach.SILENT


def _has_no_route(_: Cluster, peer: Peer) -> bool:
    return peer.reach is Reach.NO_ROUTE


def _has_no_address(_: Cluster, peer: Peer) -> bool:
    return peer.reach is Reach.NO_ADDRESS


def _is_refused(_: Cluster, peer: Peer) -> bool:
    return peer.reach is Reach.REFUSED


def _is_unlinked(cluster: Cluster, peer: Peer) -> bool:
    """Whether its port answers, and the daemon here has no link all the same."""
    own = cluster.own
    is_new = own is not None and own.uptime_seconds < LINK_SECONDS
    return cluster.is_running and peer.reach is Reach.CONNECTED and not is_new


def _names(peers: Sequence[Peer]) -> str:
    return named([peer.name for peer in peers])


def _place(peer: Peer) -> str:
    return f"{peer.name} ({peer.address} port {peer.port})"


def _silent(cluster: Cluster, peers: list[Peer]) -> Finding:
    first = peers[0]
    alive = [peer for peer in peers if _is_heard(cluster, peer)]
    though = f", though heartbeats of {_names(alive)} arrive" if alive else ""
    return _link_finding(
        f"no link to {_names(peers)}: {_NO_LINK}",
        found=f"no answer by TCP from {named([_place(peer) for peer in peers])}{though}",
        expected="a connection: a firewall there or on the way drops TCP, or the machine is off",
        fix=f"on {(alive or peers)[0].name}: {fixes.let_in('tcp', cluster.address, first.port)}",
    )


def _no_route(_: Cluster, peers: list[Peer]) -> Finding:
    first = peers[0]
    return _link_finding(
        f"no link to {_names(peers)}: {_NO_LINK}",
        found=f"{first.reach_reason} to {named([_place(peer) for peer in peers])}",
        expected="a route, and a firewall that rejects nothing",
        fix=f"ip route get {first.address}, then ping -c 3 {first.address}",
    )


def _no_address(facts: Facts, _: Cluster, peers: list[Peer]) -> Finding:
    return _link_finding(
        f"no link to {_names(peers)}: {_NO_LINK}",
        found=f"no address for {_names(peers)}: {peers[0].reach_reason}",
        expected="a host name that this machine can resolve",
        fix=f"correct /etc/hosts or the name server, or address in cluster.toml, then: {ask_doctor(facts.file)}",
    )


def _refused(cluster: Cluster, peers: list[Peer]) -> Finding:
    what = "no link to" if cluster.is_running else "no memory comes from"
    return _link_finding(
        f"{what} {_names(peers)} until ramsterd runs there",
        found=f"connection refused by {named([_place(peer) for peer in peers])}",
        expected="a ramsterd that listens there",
        fix=f"on {_names(peers)}: systemctl start ramsterd",
    )


def _unlinked(cluster: Cluster, peers: list[Peer]) -> Finding:
    """Its port answers; so it is refused, or has to connect to this node and can't."""
    coming = [peer for peer in peers if not peer.is_dialled and not _is_turned_away(peer)]
    if coming:
        first = coming[0]
        return _link_finding(
            f"no link to {_names(coming)}: {_NO_LINK}",
            found=f"TCP port {first.port} of {_names(coming)} answers, and no connection came from there",
            expected=f"a connection to TCP port {cluster.port} of this node, because the higher number connects",
            fix=f"here: {fixes.let_in('tcp', first.address, cluster.port)}; on {first.name}: ramsterctl doctor",
        )
    reasons = "; ".join(
        f"{peer.name}: {_why_no_link(peer) or 'no attempt has ended yet'}" for peer in peers
    )
    return _link_finding(
        f"no link to {_names(peers)}: {_NO_LINK}",
        found=reasons,
        expected="a link",
        fix="ramsterctl nodes, here and there: the column LINK says what differs",
    )


def _is_turned_away(peer: Peer) -> bool:
    """Whether one side has refused the other: then connections do arrive."""
    return peer.row is not None and peer.row.link in _TURNED_AWAY


def _why_no_link(peer: Peer) -> str:
    return "" if peer.row is None else peer.row.link_reason


def _link_finding(risk: str, *, found: str, expected: str, fix: str) -> Finding:
    """A node that is off is no error of this machine."""
    return Finding(
        check="links", state=State.WARNING, risk=risk, found=found, expected=expected, fix=fix
    )


def heartbeat_seconds_max(cluster: Cluster) -> float:
    """Return after how long without a heartbeat of one node UDP from there counts as blocked."""
    return max(HEARTBEAT_SECONDS_MIN, ROUNDS_MAX * len(cluster.peers) * cluster.probe_seconds)


def _is_heard(cluster: Cluster, peer: Peer) -> bool:
    silent = None if peer.row is None else peer.row.heartbeat_seconds
    return silent is not None and silent <= heartbeat_seconds_max(cluster)


def check_heartbeats(cluster: Cluster) -> Iterator[Finding]:
    """Judge UDP, by what each side has heard of the other; only nodes with a link can be judged."""
    if not cluster.is_running or cluster.own is None:
        yield ok("heartbeats", "UDP to other nodes is checked once ramsterd runs")
        return
    limit = heartbeat_seconds_max(cluster)
    linked = [peer for peer in cluster.peers if peer.row is not None and peer.row.is_linked]
    here = [peer for peer in linked if _silence_here(cluster, peer) > limit]
    there = [peer for peer in linked if _silence_there(cluster, peer) > limit]
    if here:
        first = here[0]
        yield _heartbeat_finding(
            found=f"no heartbeat of {_names(here)} by UDP for {limit:,.0f} s, though there is a link",
            expected=f"UDP from there to port {cluster.port} of this node",
            fix=f"here: {fixes.let_in('udp', first.address, cluster.port)}",
        )
    if there:
        first = there[0]
        yield _heartbeat_finding(
            found=f"no heartbeat of this node at {_names(there)} by UDP for {limit:,.0f} s, though there is a link",
            expected=f"UDP from this node to port {first.port} there",
            fix=f"on {first.name}: {fixes.let_in('udp', cluster.address, first.port)}",
        )
    if not here and not there:
        heard = sum(_is_heard(cluster, peer) for peer in linked)
        yield ok("heartbeats", f"UDP arrives from {heard} of {human_count(len(linked), 'linked node')}, and there")  # fmt: skip


def _heartbeat_finding(*, found: str, expected: str, fix: str) -> Finding:
    return Finding(
        check="heartbeats",
        state=State.WARNING,
        risk="a link that is lost or slow is taken for a node that is down",
        found=found,
        expected=expected,
        fix=fix,
    )


def _silence_here(cluster: Cluster, peer: Peer) -> float:
    """Return for how long this node should have heard a peer and did not."""
    assert peer.row is not None
    return min(_both_up(cluster, peer), _for_ever(peer.row.heartbeat_seconds))


def _silence_there(cluster: Cluster, peer: Peer) -> float:
    """Return the same of the other side, as it says; nothing is known of one that says nothing."""
    if peer.report is None or peer.report.sees is None:
        return 0.0
    return min(_both_up(cluster, peer), _for_ever(peer.report.sees.heartbeat_seconds))


def _for_ever(seconds: float | None) -> float:
    return float("inf") if seconds is None else seconds


def _both_up(cluster: Cluster, peer: Peer) -> float:
    """Return how long both daemons run: before that nobody could be heard."""
    assert cluster.own is not None
    ours = cluster.own.uptime_seconds
    return ours if peer.report is None else min(ours, peer.report.uptime_seconds)


def check_path_mtu(cluster: Cluster) -> Finding:
    """Judge whether packets arrive that are as large as the interface allows: TCP sends pages in such."""
    cut = [peer for peer in cluster.peers if peer.is_path_open is False]
    if not cut:
        return ok("path-mtu", _known_paths(cluster))
    first = cut[0]
    size = f"{first.path_mtu:,} bytes" if first.path_mtu else "full size"
    return Finding(
        check="path-mtu",
        state=State.WARNING,
        risk=f"links to {_names(cut)} open, and pages do not pass",
        found=f"packets of {size} to {_names(cut)} vanish on the way, and small ones arrive",
        expected="the MTU of this interface on the whole way, or a router that says what is too large",
        fix=f"tracepath -n {first.address}; then the MTU of the way, here: ip link set DEVICE mtu 1500;"
        " until then: sysctl net.ipv4.tcp_mtu_probing=1, here and there",
    )


def _known_paths(cluster: Cluster) -> str:
    known = [peer for peer in cluster.peers if peer.is_path_open]
    if not known:
        return "no node tells whether large packets arrive (a firewall drops UDP to a closed port)"
    sizes = sorted({peer.path_mtu for peer in known if peer.path_mtu})
    shown = " to ".join(dict.fromkeys(f"{size:,}" for size in (sizes[0], sizes[-1]))) if sizes else "all"  # fmt: skip
    told = f"packets of {shown} bytes arrive at {human_count(len(known), 'other node')}"
    silent = len(cluster.peers) - len(known)
    return f"{told}; {silent:,} {'does' if silent == 1 else 'do'} not tell" if silent else told
