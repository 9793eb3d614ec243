"""Each number of the failure detector comes out under its own name."""

from prometheus_client.core import Metric

from heartbeat.datagram_filter import DropReason
from heartbeat.probe import ProbeOutcome
from heartbeat.service import HeartbeatStatistics
from heartbeat.statistics import SwimStatistics
from nodemanager.states import NodeState
from ramsterd.cli.format import format_heartbeat
from ramsterd.observe.heartbeat_metrics import heartbeat_metrics
from ramsterd.observe.snapshot import to_plain

DETECTOR = SwimStatistics(
    members={state: 100 + index for index, state in enumerate(NodeState)},
    probes_total={outcome: 200 + index for index, outcome in enumerate(ProbeOutcome)},
    asked_indirect_probes_total=301,
    helped_indirect_probes_total=302,
    accusations_total=303,
    suspicions_total=304,
    cleared_suspicions_total=305,
    downs_total=307,
    cleared_downs_total=306,
    verdicts_total=308,
    refutations_total=309,
    stale_news_total=310,
    stalls_total=311,
    gossip_rows=312,
    health_multiplier=8,
    is_in_doubt=False,
    is_starved=True,
)
NOW = HeartbeatStatistics(
    sent_datagrams_total=401,
    sent_bytes_total=402,
    send_errors_total=403,
    received_datagrams_total=404,
    received_bytes_total=405,
    receive_errors_total=406,
    dropped_datagrams_total={reason: 500 + index for index, reason in enumerate(DropReason)},
    detector=DETECTOR,
)


def values(families: list[Metric]) -> dict[str, float]:
    """Return all samples by `name{value of the label}`."""
    return {
        f"{sample.name}{{{','.join(sample.labels.values())}}}": sample.value
        for family in families
        for sample in family.samples
    }


def test_every_number_has_a_name_of_its_own() -> None:
    found = values(list(heartbeat_metrics(NOW)))
    assert found == {
        "ramster_heartbeat_datagrams_total{sent}": 401,
        "ramster_heartbeat_datagrams_total{received}": 404,
        "ramster_heartbeat_bytes_total{sent}": 402,
        "ramster_heartbeat_bytes_total{received}": 405,
        "ramster_heartbeat_send_errors_total{}": 403,
        "ramster_heartbeat_receive_errors_total{}": 406,
        **{
            f"ramster_heartbeat_dropped_datagrams_total{{{reason.value.replace(' ', '_')}}}": count
            for reason, count in NOW.dropped_datagrams_total.items()
        },
        "ramster_heartbeat_probes_total{direct}": 200,
        "ramster_heartbeat_probes_total{indirect}": 201,
        "ramster_heartbeat_probes_total{link}": 202,
        "ramster_heartbeat_probes_total{failed}": 203,
        "ramster_heartbeat_probes_total{unjudged}": 204,
        "ramster_heartbeat_indirect_probes_total{asked}": 301,
        "ramster_heartbeat_indirect_probes_total{helped}": 302,
        **{
            f"ramster_heartbeat_members{{{state.value}}}": DETECTOR.members[state]
            for state in NodeState
        },
        "ramster_heartbeat_accusations_total{}": 303,
        "ramster_heartbeat_suspicions_total{}": 304,
        "ramster_heartbeat_downs_total{}": 307,
        "ramster_heartbeat_cleared_suspicions_total{}": 305,
        "ramster_heartbeat_cleared_downs_total{}": 306,
        "ramster_heartbeat_verdicts_total{}": 308,
        "ramster_heartbeat_refutations_total{}": 309,
        "ramster_heartbeat_stale_news_total{}": 310,
        "ramster_heartbeat_gossip_rows{}": 312,
        "ramster_heartbeat_health_multiplier{}": 8,
        "ramster_heartbeat_starved{}": 1,
        "ramster_heartbeat_stalls_total{}": 311,
    }


def test_the_status_has_one_line_and_one_more_for_a_starved_node() -> None:
    plain = to_plain(NOW)
    assert isinstance(plain, dict)
    found, starved = format_heartbeat(plain)
    assert found == (
        "heartbeat      other nodes: 101 up, 102 suspect, 103 down; 203 of 1,010 probes failed;"
        " 306 of 307 reports of a node down were false alarms; 4,536 datagrams dropped"
    )
    assert (
        starved
        == "STARVED        answers come late: this node is short of CPU, or its network is bad"
    )
    plain["detector"] |= {"is_in_doubt": True}
    assert "probably this node has no network" in format_heartbeat(plain)[1]
    plain["detector"] |= {"is_starved": False}
    [line] = format_heartbeat(plain)
    assert line.endswith("4,536 datagrams dropped")
    assert format_heartbeat(None) == []
