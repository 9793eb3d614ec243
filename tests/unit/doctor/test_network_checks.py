"""Ports, links, heartbeats and sizes of packets: each way that can be blocked is named with its side, port and protocol."""

from collections.abc import Iterable
from dataclasses import replace

import pytest

from ramsterd.doctor.findings import Finding, State
from ramsterd.doctor.network_checks import (
    LINK_SECONDS,
    ROUNDS_MAX,
    check_heartbeats,
    check_links,
    check_path_mtu,
    check_ports,
    heartbeat_seconds_max,
)
from ramsterd.doctor.surroundings import Cluster, Peer, Reach
from tests.helpers.doctor_facts import FACTS
from tests.helpers.doctor_surroundings import (
    BEFORE_START,
    CLUSTER,
    OWN,
    ROW,
    SIGHT,
    peer,
    unlinked,
)


def only(findings: Iterable[Finding]) -> Finding:
    (finding,) = findings
    return finding


def among(*peers: Peer, cluster: Cluster = CLUSTER) -> Cluster:
    return replace(cluster, peers=peers)


@pytest.mark.parametrize("cluster", [CLUSTER, BEFORE_START], ids=["running", "before"])
def test_where_nothing_is_blocked_each_check_is_one_ok_line(cluster: Cluster) -> None:
    assert only(check_links(FACTS, cluster)).state is State.OK
    for check in (check_ports, check_heartbeats):
        assert only(check(cluster)).state is State.OK
    assert check_path_mtu(cluster).state is State.OK


def test_before_a_start_the_ports_are_free_and_after_it_they_are_ours() -> None:
    assert only(check_ports(BEFORE_START)).found == "free for a start: 7700, 9750"
    assert only(check_ports(CLUSTER)).found == (
        "ramsterd listens at 192.0.2.1 port 7700, TCP and UDP"
    )


def test_a_port_that_somebody_else_has_is_an_error_with_the_command_that_shows_who() -> None:
    tcp, udp, metrics = BEFORE_START.ports
    taken = replace(udp, problem="address already in use")
    finding = only(check_ports(replace(BEFORE_START, ports=(tcp, taken, metrics))))
    assert finding.state is State.ERROR
    assert finding.found == (
        "192.0.2.1 UDP port 7700 (address of [[node]]): address already in use"
    )
    assert finding.fix.startswith("ss -lunp 'sport = :7700'")
    tcp_taken = replace(metrics, problem="address already in use")
    assert only(check_ports(replace(BEFORE_START, ports=(tcp_taken,)))).fix.startswith("ss -ltnp")


def test_an_address_that_is_not_of_this_machine_is_no_port_that_somebody_has() -> None:
    foreign = replace(BEFORE_START.ports[0], problem="cannot assign", is_foreign=True)
    finding = only(check_ports(replace(BEFORE_START, ports=(foreign,))))
    assert finding.expected == "an address of this machine"
    assert finding.fix.startswith("ip address")


def test_a_node_that_does_not_run_yet_is_a_warning() -> None:
    refused = replace(BEFORE_START.peers[0], reach=Reach.REFUSED)
    finding = only(check_links(FACTS, among(refused, BEFORE_START.peers[1], cluster=BEFORE_START)))
    assert finding.state is State.WARNING
    assert finding.risk == "no memory comes from node0 until ramsterd runs there"
    assert finding.fix == "on node0: systemctl start ramsterd"


def test_silence_is_a_firewall_there_and_its_heartbeats_prove_it() -> None:
    silent = unlinked(0, Reach.SILENT)
    finding = only(check_links(FACTS, among(silent, peer(2))))
    assert finding.found == "no answer by TCP from node0 (192.0.2.0 port 7700)"
    assert finding.fix.startswith(
        "on node0: nft insert rule inet filter input ip saddr 192.0.2.1 tcp dport 7700 accept"
    )
    heard = unlinked(2, Reach.SILENT, heartbeat_seconds=0.3)
    both = only(check_links(FACTS, among(silent, heard)))
    assert both.found.endswith(", though heartbeats of node2 arrive")
    assert both.fix.startswith("on node2: nft")


def test_no_way_and_no_address_are_told_apart() -> None:
    away = unlinked(0, Reach.NO_ROUTE, "network is unreachable")
    nameless = unlinked(2, Reach.NO_ADDRESS, "name or service not known")
    no_way, no_name = check_links(FACTS, among(away, nameless))
    assert no_way.found == "network is unreachable to node0 (192.0.2.0 port 7700)"
    assert no_way.fix == "ip route get 192.0.2.0, then ping -c 3 192.0.2.0"
    assert no_name.found == "no address for node2: name or service not known"


def test_a_peer_that_has_to_connect_and_does_not_is_kept_out_by_this_machine() -> None:
    coming = unlinked(2, Reach.CONNECTED, link="lost", link_reason="no data for 8 s")
    finding = only(check_links(FACTS, among(peer(0), coming)))
    assert "TCP port 7700 of node2 answers, and no connection came from there" in finding.found
    assert finding.fix.startswith(
        "here: nft insert rule inet filter input ip saddr 192.0.2.2 tcp dport 7700 accept"
    )


def test_a_peer_that_answers_and_refuses_is_told_with_its_reason() -> None:
    refused = unlinked(0, Reach.CONNECTED, link="refused_there", link_reason="another cluster")
    coming = unlinked(2, Reach.CONNECTED, link="refused_here", link_reason="not in cluster.toml")
    assert only(check_links(FACTS, among(peer(0), coming))).found == "node2: not in cluster.toml"
    dialled = unlinked(0, Reach.CONNECTED)
    assert only(check_links(FACTS, among(refused, peer(2)))).found == "node0: another cluster"
    assert "no attempt has ended" in only(check_links(FACTS, among(dialled, peer(2)))).found


def test_a_daemon_that_has_just_started_has_time_for_its_links() -> None:
    new = replace(CLUSTER, own=replace(OWN, uptime_seconds=LINK_SECONDS - 1))
    waiting = among(unlinked(2, Reach.CONNECTED), peer(0), cluster=new)
    assert only(check_links(FACTS, waiting)).state is State.OK


def test_what_there_was_no_time_for_is_not_ok() -> None:
    finding = only(check_links(FACTS, among(peer(0), peer(2, reach=Reach.NOT_TRIED))))
    assert finding.found == "no time left for node2"


def test_udp_that_does_not_arrive_here_names_this_side() -> None:
    deaf = peer(2, row=replace(ROW, heartbeat_seconds=None))
    finding = only(check_heartbeats(among(peer(0), deaf)))
    assert finding.found.startswith("no heartbeat of node2 by UDP for 10 s")
    assert finding.fix.startswith(
        "here: nft insert rule inet filter input ip saddr 192.0.2.2 udp dport 7700 accept"
    )


def test_udp_that_does_not_arrive_there_names_the_other_side() -> None:
    sees = replace(SIGHT, heartbeat_seconds=60.0)
    finding = only(check_heartbeats(among(peer(0), peer(2, report=replace(OWN, sees=sees)))))
    assert finding.found.startswith("no heartbeat of this node at node2 by UDP")
    assert finding.fix.startswith(
        "on node2: nft insert rule inet filter input ip saddr 192.0.2.1 udp dport 7700 accept"
    )


def test_both_ways_are_two_findings() -> None:
    sees = replace(SIGHT, heartbeat_seconds=None)
    both = peer(2, row=replace(ROW, heartbeat_seconds=None), report=replace(OWN, sees=sees))
    here, there = check_heartbeats(among(peer(0), both))
    assert (here.fix[:5], there.fix[:9]) == ("here:", "on node2:")


@pytest.mark.parametrize("newcomer", ["here", "there"])
def test_a_daemon_that_has_just_started_could_not_be_heard_yet(newcomer: str) -> None:
    new = replace(OWN, uptime_seconds=3.0)
    sees = replace(SIGHT, heartbeat_seconds=None)
    report = replace(new if newcomer == "there" else OWN, sees=sees)
    silent = peer(2, row=replace(ROW, heartbeat_seconds=None), report=report)
    cluster = replace(CLUSTER, own=new if newcomer == "here" else OWN, peers=(peer(0), silent))
    assert only(check_heartbeats(cluster)).state is State.OK


def test_a_peer_that_says_nothing_is_judged_by_what_is_known_here() -> None:
    mute = peer(2, report=None)
    stranger = peer(0, report=replace(OWN, sees=None))
    assert only(check_heartbeats(among(stranger, mute))).state is State.OK


def test_in_a_large_cluster_heartbeats_of_one_node_are_rare() -> None:
    many = among(*(peer(number) for number in range(2, 102)))
    assert heartbeat_seconds_max(many) == ROUNDS_MAX * 100


def test_large_packets_that_arrive_are_told_with_their_size() -> None:
    two = check_path_mtu(among(peer(0), peer(2, path_mtu=9000)))
    assert two.found == "packets of 1,500 to 9,000 bytes arrive at 2 other nodes"
    one = check_path_mtu(among(peer(0), peer(2, is_path_open=None)))
    assert one.found == "packets of 1,500 bytes arrive at 1 other node; 1 does not tell"
    none = check_path_mtu(among(peer(0, is_path_open=None, path_mtu=None)))
    assert none.state is State.OK
    assert none.found.startswith("no node tells whether large packets arrive")


def test_large_packets_that_vanish_are_why_links_open_and_pages_do_not_pass() -> None:
    finding = check_path_mtu(among(peer(0), peer(2, path_mtu=9000, is_path_open=False)))
    assert finding.state is State.WARNING
    assert finding.found == (
        "packets of 9,000 bytes to node2 vanish on the way, and small ones arrive"
    )
    assert finding.fix.startswith("tracepath -n 192.0.2.2; ")
