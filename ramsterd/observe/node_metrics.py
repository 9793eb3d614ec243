"""Metrics of the other nodes as this one sees them: their states, the members, and the links."""

from collections.abc import Callable, Iterator

from prometheus_client.core import Metric

from net.link import LinkStatistics
from nodemanager.states import LinkState, NodeState
from ramsterd.observe.metric import counter, gauge, latencies, one
from ramsterd.observe.snapshot import DaemonStatistics


def names_of(now: DaemonStatistics) -> dict[int, str]:
    """Return the name of each node by number: one label of one meaning in all families, to join them by."""
    return {row.config.number: row.config.name for row in now.engine.nodes.nodes}


def node_metrics(now: DaemonStatistics) -> Iterator[Metric]:
    """Yield the families."""
    yield from _states(now)
    yield from _members(now)
    yield from _links(now)
    yield from _round_trips(now)
    yield from _listener(now)


def _states(now: DaemonStatistics) -> Iterator[Metric]:
    rows = [row for row in now.engine.nodes.nodes if not row.is_local]
    yield gauge(
        "node_up", "Whether this node considers a node up.", ["node"],
        [([row.config.name], float(row.state is NodeState.UP)) for row in rows],
    )  # fmt: skip
    yield gauge(
        "node_state", "State of a node as this node sees it: 1 for the present state, 0 for all others.",
        ["node", "state"],
        [
            ([row.config.name, state.value], float(row.state is state))
            for row in rows
            for state in NodeState
        ],
    )  # fmt: skip
    yield gauge(
        "node_linked", "Whether the link to a node is open.", ["node"],
        [([row.config.name], float(row.is_linked)) for row in rows],
    )  # fmt: skip
    yield gauge(
        "node_link_state", "State of the link to a node, or why it is not open:"
        " 1 for the present state, 0 for all others.", ["node", "state"],
        [
            ([row.config.name, state.value], float(row.link is state))
            for row in rows
            for state in LinkState
        ],
    )  # fmt: skip
    names = names_of(now)
    yield gauge(
        "node_clock_skew_seconds", "By how much the clock of a node is ahead of the clock of this node.",
        ["node"],
        [
            ([names[node]], report.clock_skew_seconds)
            for node, report in now.peer_reports.items()
            if report.clock_skew_seconds is not None and node in names
        ],
    )  # fmt: skip
    nodes = now.engine.nodes
    yield counter(
        "new_incarnations", "Restarts of other nodes that this node saw.", [],
        one(nodes.new_incarnations_total),
    )  # fmt: skip
    yield counter(
        "stale_incarnations", "Signs of an incarnation of a node that has ended; this node ignores them.", [],
        one(nodes.stale_incarnations_total),
    )  # fmt: skip


def _members(now: DaemonStatistics) -> Iterator[Metric]:
    yield gauge(
        "node_cordoned", "Whether a node is cordoned: it gets no new pages.", ["node"],
        [([row.config.name], float(row.config.cordoned)) for row in now.engine.nodes.nodes],
    )  # fmt: skip
    yield gauge(
        "membership_version", "How many times the members were changed at run time.", [],
        one(now.membership.version),
    )  # fmt: skip
    yield gauge(
        "membership_unwritten", "Whether the cluster file of this node does not have the present members.", [],
        one(float(bool(now.membership.problem))),
    )  # fmt: skip
    yield gauge(
        "membership_unwritable", "Whether the disk of the cluster file has no room for the next change, or does not answer.", [],
        one(float(bool(now.membership.unwritable))),
    )  # fmt: skip


def _links(now: DaemonStatistics) -> Iterator[Metric]:
    names = names_of(now)
    links = [(names[node], link) for node, link in now.links.items()]
    yield counter(
        "link_bytes", "Bytes on the present link to a node.", ["node", "direction"],
        [([node, "sent"], link.bytes_sent_total) for node, link in links]
        + [([node, "received"], link.bytes_received_total) for node, link in links],
    )  # fmt: skip
    yield counter(
        "link_frames", "Frames on the present link to a node.", ["node", "direction"],
        [([node, "sent"], link.frames_sent_total) for node, link in links]
        + [([node, "received"], link.frames_received_total) for node, link in links],
    )  # fmt: skip

    def of_each(value: Callable[[LinkStatistics], float]) -> list[tuple[list[str], float]]:
        return [([node], value(link)) for node, link in links]

    yield gauge(
        "link_requests_in_flight", "Requests on the link to a node without an answer yet.", ["node"],
        of_each(lambda link: link.requests_in_flight),
    )  # fmt: skip
    yield gauge(
        "link_send_queue_bytes", "Bytes that wait to be sent on the link to a node.", ["node"],
        of_each(lambda link: link.send_queue_bytes),
    )  # fmt: skip
    yield counter(
        "link_timeouts", "Requests on the present link that a node did not answer in time.", ["node"],
        of_each(lambda link: link.timeouts_total),
    )  # fmt: skip
    yield counter(
        "link_late_replies", "Answers on the present link that came after their timeout.", ["node"],
        of_each(lambda link: link.late_replies_total),
    )  # fmt: skip


def _round_trips(now: DaemonStatistics) -> Iterator[Metric]:
    names, round_trip = names_of(now), now.engine.round_trip
    yield latencies(
        "round_trip_seconds", "Time from a request for pages (get), or to store pages (put), to the answer"
        " of any node.", ["request"],
        [(["get"], round_trip.get), (["put"], round_trip.put)],
    )  # fmt: skip
    # A node that was removed has no name.
    yield gauge(
        "round_trip_node_mean_seconds", "Mean of this time for the last answers of a node.", ["node"],
        [
            ([names[node]], seconds)
            for node, seconds in round_trip.node_mean_seconds.items()
            if node in names
        ],
    )  # fmt: skip


def _listener(now: DaemonStatistics) -> Iterator[Metric]:
    listener = now.listener
    yield gauge(
        "listener_greeting_connections", "Connections at the port for links without a greeting yet.", [],
        one(listener.greeting_connections),
    )  # fmt: skip
    yield counter(
        "listener_accepted_connections", "Connections accepted at the port for links.", [],
        one(listener.accepted_connections_total),
    )  # fmt: skip
    yield counter(
        "listener_failed_connections", "Connections at the port for links that ended before a link was open.",
        [], one(listener.failed_connections_total),
    )  # fmt: skip
    yield counter(
        "listener_displaced_connections", "Connections at the port for links that were closed,"
        " because too many had not sent a greeting.", [], one(listener.displaced_connections_total),
    )  # fmt: skip
    yield gauge(
        "listener_outdated_links", "Links that are still at the address that a node had before it moved.",
        [], one(listener.outdated_links),
    )  # fmt: skip
