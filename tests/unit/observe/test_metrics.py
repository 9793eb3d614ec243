import json
from functools import partial

import trio
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from trio.testing import MockClock

from config.limits import BUDGET_BYTES_MIN
from config.model import MemoryConfig, RemoteConfig
from nodemanager.ids import Incarnation, NodeId
from nodemanager.states import LinkState, NodeState
from ramsterd.cli.format import format_status
from ramsterd.endpoints.statistics import (
    DescriptorStatistics,
    EndpointStatistics,
    MetricsStatistics,
)
from ramsterd.frontends.clients.latency import RequestLatency
from ramsterd.frontends.nbd.server import NbdServer
from ramsterd.frontends.tmem.counters import TmemStatistics
from ramsterd.handover.arrival import Arrival
from ramsterd.host.daemon_protection import NO_PROTECTION
from ramsterd.host.events.recorder import EventStatistics
from ramsterd.host.events.ring import Severity
from ramsterd.host.logs.handler import LogStatistics
from ramsterd.host.loop_time import PauseStatistics
from ramsterd.host.poller import PollStatistics
from ramsterd.membership.members import MembersStatistics
from ramsterd.observe.exposition import Exposition
from ramsterd.observe.loop_watch import BUCKETS, LoopStatistics
from ramsterd.observe.metrics import NODE_SERIES_MAX, SERIES_MAX, RamsterCollector
from ramsterd.observe.observers import Observers
from ramsterd.observe.snapshot import ConfigStatistics, DaemonStatistics, to_plain
from ramsterd.statefile.marks import Loss, MarksStatistics
from tests.helpers.node_memories import make_node_memory
from tests.helpers.sim_nodes import SimNode, eventually, noise, run_nodes

NO_TMEM = TmemStatistics(
    connections=0,
    accepted_connections_total=0,
    refused_connections_total=0,
    ended_connections_total={},
    requests_total={},
    errors_total={},
    received_bytes_total=0,
    sent_bytes_total=0,
    requests_in_flight=0,
    request_latency=RequestLatency().statistics(),
    pools=(),
    users=(),
    doomed_pools=0,
)

ENDPOINT = EndpointStatistics(
    connections=1,
    accepted_connections_total=2,
    displaced_connections_total=4,
)


MARKS = MarksStatistics(
    lost=(
        Loss(name="swap0", user=None, lost_at=7),
        Loss(name="spill", user=1000, lost_at=7),
    ),
    writes_total=3,
    failed_writes_total=1,
    problem="",
)


def statistics(node: SimNode) -> DaemonStatistics:
    heartbeat = node.peers.heartbeat
    assert heartbeat is not None
    return DaemonStatistics(
        node=f"n{node.number}",
        number=node.number,
        incarnation=node.engine.incarnation,
        pauses=PauseStatistics(pauses_total=0, paused_seconds_total=0.0),
        handover=Arrival().statistics(),
        memory=make_node_memory(MemoryConfig(), Incarnation(1)).statistics(),
        protection=NO_PROTECTION.statistics(),
        incarnation_floors=node.peers.own_incarnation.statistics(),
        cluster="sim",
        version="0",
        build="from source",
        is_compiled=True,
        asking=node.peers.asking.statistics(),
        observers=Observers().statistics(),
        uptime_seconds=1.0,
        clock_seconds=1e9,
        config=ConfigStatistics(
            file="/etc/ramster/ramsterd.toml",
            budget="8MiB",
            keep="auto",
            cluster="/etc/ramster/cluster.toml",
            last_reload_success_timestamp_seconds=7.0,
        ),
        membership=MembersStatistics(version=7, origin=NodeId(1), is_removed=False, problem=""),
        engine=node.engine.statistics(),
        pager=node.pager.statistics(),
        nbd=NbdServer(node.pager, []).statistics(),
        tmem=NO_TMEM,
        exports=(),
        state_file=MARKS,
        heartbeat=heartbeat.statistics(),
        listener=node.peers.mesh.listener_statistics(),
        addresses=node.peers.addresses.statistics(),
        descriptors=DescriptorStatistics(limit=1024, reserved=512, lowest_free=20),
        loop_stall=LoopStatistics(
            counts=(5, 2, *[0] * (len(BUCKETS) - 2), 1),
            seconds_total=9.5,
            longest_seconds=9.0,
            longest_name="flush",
        ),
        polling=PollStatistics(
            hit_polls_total=3,
            missed_polls_total=1,
            crowded_polls_total=2,
            polled_seconds_total=0.5,
            poll_window_seconds=1e-4,
        ),
        control=ENDPOINT,
        metrics=MetricsStatistics(endpoint=ENDPOINT, answers_total={"200": 7}),
        log=LogStatistics(
            queued_lines=1,
            queued_bytes=80,
            lines_total=5,
            dropped_lines_total=6,
            left_out_lines_total=7,
            failed_writes_total=8,
        ),
        changed_log_levels=1,
        events=EventStatistics(
            kept_events=2,
            events_total=dict.fromkeys(Severity, 3),
            dropped_events_total=7,
            left_out_events_total=1,
        ),
        links={each: link.statistics() for each, link in node.peers.mesh.links.items()},
    )


async def scrape(node: SimNode) -> dict[str, Metric]:
    collector = RamsterCollector(partial(statistics, node))
    _, body = await Exposition(collector.collect).text("text/plain")
    text = body.decode()
    # What a scrape costs; each family has two more lines.
    series = [line for line in text.splitlines() if not line.startswith("#")]
    assert len(series) <= SERIES_MAX + 2 * NODE_SERIES_MAX
    return {family.name: family for family in text_string_to_metric_families(text)}


async def test_nodes_have_one_label_everywhere(autojump_clock: MockClock) -> None:
    """Their name, so that families can be joined by it."""
    async with run_nodes(BUDGET_BYTES_MIN, 4 * BUDGET_BYTES_MIN) as [node, peer]:
        for index in range(1000):
            node.put(index, noise(index))
            await trio.lowlevel.checkpoint()
        await eventually(lambda: not node.pager.statistics().waiting_puts)
        node.get(0)
        await eventually(lambda: node.engine.statistics().fetch.fetched_pages_total)
        ours, theirs = await scrape(node), await scrape(peer)
    for families in (ours, theirs):
        for family in families.values():
            for sample in family.samples:
                assert sample.labels.get("node", "n1") in {"n1", "n2"}, sample
    # The higher number dials.
    connections = [
        each["ramster_listener_accepted_connections"].samples[0].value for each in (ours, theirs)
    ]
    assert connections == [1, 0]
    assert ours["ramster_listener_failed_connections"].samples[0].value == 0
    [up] = ours["ramster_node_up"].samples
    assert (up.labels, up.value) == ({"node": "n2"}, 1)
    for name, states, present in (
        ("ramster_node_state", NodeState, "up"),
        ("ramster_node_link_state", LinkState, "linked"),
    ):
        told = {each.labels["state"]: each.value for each in ours[name].samples}
        assert told == {state.value: float(state.value == present) for state in states}
    lines = {each.labels["outcome"]: each.value for each in ours["ramster_log_lines"].samples}
    assert lines == {"queued": 5, "dropped": 6, "left_out": 7}
    [remote] = ours["ramster_remote_pages"].samples
    [foreign] = theirs["ramster_foreign_pages"].samples
    assert (remote.labels, foreign.labels) == ({"node": "n2"}, {"node": "n1"})
    assert remote.value > 500
    [rate] = ours["ramster_put_rate_bytes_per_second"].samples
    assert rate.labels == {"node": "n2"}
    assert rate.value >= RemoteConfig().foreign_bytes_per_second / 2
    for name in ("ramster_put_rate_throttled", "ramster_put_rate_throttled_seconds"):
        [capped] = ours[name].samples
        assert (capped.labels, capped.value) == ({"node": "n2"}, 0)
    outcomes = {each.labels["outcome"]: each.value for each in ours["ramster_fetch_pages"].samples}
    assert outcomes["fetched"] >= 1
    places = {each.labels["place"]: each.value for each in ours["ramster_get_pages"].samples}
    assert places["remote"] == 1


async def test_what_strangers_do_at_the_metrics_port_is_counted(
    autojump_clock: MockClock,
) -> None:
    async with run_nodes(BUDGET_BYTES_MIN) as [node]:
        families = await scrape(node)
    for name, value in (
        ("descriptors_limit", 1024),
        ("descriptors_reserved", 512),
        ("descriptors_lowest_free", 20),
        ("metrics_answers", 7),
    ):
        [sample] = families[f"ramster_{name}"].samples
        assert sample.value == value
    for name, value in (
        ("connections", 1),
        ("accepted_connections", 2),
        ("displaced_connections", 4),
    ):
        samples = families[f"ramster_endpoint_{name}"].samples
        assert {each.labels["endpoint"]: each.value for each in samples} == {
            "control": value,
            "metrics": value,
        }


async def test_rounds_of_the_loop_are_a_histogram(autojump_clock: MockClock) -> None:
    async with run_nodes(BUDGET_BYTES_MIN) as [node]:
        families = await scrape(node)
    samples = {
        (each.name, each.labels.get("le")): each.value
        for each in families["ramster_loop_stall_seconds"].samples
    }
    assert samples["ramster_loop_stall_seconds_bucket", "0.001"] == 5
    assert samples["ramster_loop_stall_seconds_bucket", "0.0025"] == 7
    assert samples["ramster_loop_stall_seconds_bucket", "5.0"] == 7
    assert samples["ramster_loop_stall_seconds_bucket", "+Inf"] == 8
    assert samples["ramster_loop_stall_seconds_count", None] == 8
    assert samples["ramster_loop_stall_seconds_sum", None] == 9.5
    assert families["ramster_tables_bytes"].samples[0].value > 0
    assert families["ramster_tables_bytes_max"].samples[0].value == 64 << 20


async def test_the_command_line_prints_the_same_snapshot(autojump_clock: MockClock) -> None:
    async with run_nodes(BUDGET_BYTES_MIN, BUDGET_BYTES_MIN) as [node, _]:
        snapshot = json.loads(json.dumps(to_plain(statistics(node), {NodeId(1): "n1"})))
    first_line = "node n1 (number 1) of cluster sim, version 0, up 1 s\n"
    assert format_status(snapshot, at=0).startswith(first_line)
