"""Prometheus metrics: one collector over one snapshot.  `metrics_server` serves them."""

from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from nodemanager.states import LinkState, NodeState
from ramsterd.core.family import Family
from ramsterd.core.page import PoolKind
from ramsterd.observe.endpoint_metrics import endpoint_metrics
from ramsterd.observe.heartbeat_metrics import heartbeat_metrics
from ramsterd.observe.loop_watch import BUCKETS
from ramsterd.observe.metric import (
    by as _by,
    counter as _counter,
    gauge as _gauge,
    histogram as _histogram,
    one as _one,
)
from ramsterd.observe.snapshot import DaemonStatistics
from ramsterd.observe.start_metrics import start_metrics
from ramsterd.remote.holders.trust import BadCopy

_PLACES = {
    Family.OWN_PERSISTENT: ["own", "persistent"],
    Family.OWN_EPHEMERAL: ["own", "ephemeral"],
    Family.OWN_CLEAN: ["own_clean", "persistent"],
    Family.FOREIGN_PERSISTENT: ["foreign", "persistent"],
    Family.FOREIGN_EPHEMERAL: ["foreign", "ephemeral"],
}


class RamsterCollector(Collector):
    """Turns a snapshot into metric families."""

    def __init__(self, statistics: Callable[[], DaemonStatistics]) -> None:
        self._statistics = statistics

    def describe(self) -> Iterable[Metric]:
        """Return nothing: registering must not take a snapshot."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield every family of one snapshot."""
        now = self._statistics()
        yield from _memory(now)
        yield from _config(now)
        yield from _loop(now)
        yield from _pages(now)
        yield from _remote(now)
        yield from _nodes(now)
        yield from _nbd(now)
        yield from _tmem(now)
        yield from _marks(now)
        yield from _certificate(now)
        yield from _listener(now)
        yield from endpoint_metrics(now)
        yield from _log(now)
        yield from start_metrics(now.floors, now.pauses)
        if now.heartbeat is not None:
            yield from heartbeat_metrics(now.heartbeat)


def _memory(now: DaemonStatistics) -> Iterator[Metric]:
    zbud, store = now.engine.store.zbud, now.engine.store
    yield _gauge("budget_bytes", "Bound on the arena.", [], _one(zbud.budget_bytes))
    yield _gauge("resident_bytes", "Frames of the arena in use.", [], _one(zbud.resident_bytes))
    labels = ["place", "kind"]
    yield _gauge(
        "zpage_bytes", "Compressed bytes in the arena.", labels,
        [(_PLACES[family], count) for family, count in store.zpage_bytes.items()],
    )  # fmt: skip
    yield _gauge(
        "pages", "Pages with a zpage in the arena.", labels,
        [(_PLACES[family], count) for family, count in store.zpages.items()],
    )  # fmt: skip
    yield _gauge(
        "budget_target_bytes", "The budget that was asked for last.", [],
        _one(now.engine.resize.target_bytes),
    )  # fmt: skip
    yield _counter(
        "compacted_zpages",
        "Zpages moved out of sparse blocks.",
        [],
        _one(now.engine.compacted_total),
    )
    yield _gauge("rows", "Page versions known here, wherever they are.", [], _one(store.rows))
    yield _gauge(
        "tables_bytes", "Memory of the tables that find pages.", [], _one(store.tables_bytes)
    )
    yield _gauge(
        "tables_max_bytes", "Bound on the memory of the tables.", [], _one(store.tables_bytes_max)
    )
    yield _gauge("uptime_seconds", "Since the daemon started.", [], _one(now.uptime_seconds))


def _loop(now: DaemonStatistics) -> Iterator[Metric]:
    loop = now.loop
    yield _histogram(
        "loop_stall_seconds", "How long the event loop was busy before it served anybody else.",
        BUCKETS, loop.counts, loop.seconds_total,
    )  # fmt: skip
    yield _gauge(
        "loop_stall_longest_seconds", "The longest time that the event loop was busy.", [],
        _one(loop.longest_seconds),
    )  # fmt: skip


def _config(now: DaemonStatistics) -> Iterator[Metric]:
    config = now.config
    yield _gauge(
        "last_reload_successful",
        "Whether the last reload of ramsterd.toml, certificate and key went well; 1 until there was one.", [],
        _one(config.is_last_reload_successful),
    )  # fmt: skip
    yield _gauge(
        "last_reload_success_timestamp_seconds",
        "When a reload last went well, or the daemon started; seconds since 1970.", [],
        _one(config.last_reload_success_at),
    )  # fmt: skip
    yield _counter(
        "reloads", "Reloads of the files of this node, by outcome.", ["outcome"],
        _by({
            "applied": config.reloads_total - config.reloads_failed_total,
            "failed": config.reloads_failed_total,
        }),
    )  # fmt: skip
    yield _gauge(
        "restart_needed_keys", "Keys of ramsterd.toml whose change waits for a restart.", [],
        _one(len(config.needs_restart)),
    )  # fmt: skip


def _listener(now: DaemonStatistics) -> Iterator[Metric]:
    listener = now.listener
    yield _gauge(
        "link_greetings", "Connections at the links' port that have not said who they are.", [],
        _one(listener.greetings),
    )  # fmt: skip
    yield _counter(
        "link_connections", "Connections that others made to the links' port.", [],
        _one(listener.accepted_total),
    )  # fmt: skip
    yield _counter(
        "link_connections_failed", "Of these, ended without a link, for each reason in the log.", [],
        _one(listener.failed_total),
    )  # fmt: skip
    yield _counter(
        "link_connections_displaced", "Of these, because too many had not greeted.", [],
        _one(listener.displaced_total),
    )  # fmt: skip


def _log(now: DaemonStatistics) -> Iterator[Metric]:
    log = now.log
    yield _counter(
        "log_lines", "Log lines, by what became of them: queued for standard error,"
        " left out because many like them came, or dropped because nobody reads standard error.",
        ["outcome"],
        _by({
            "queued": log.lines_total,
            "left_out": log.left_out_lines_total,
            "dropped": log.dropped_lines_total,
        }),
    )  # fmt: skip
    yield _gauge(
        "log_queue_bytes", "Log lines that wait to be written.", [], _one(log.queued_bytes)
    )
    yield _counter(
        "log_failed_writes", "Writes to standard error that failed.", [],
        _one(log.failed_writes_total),
    )  # fmt: skip


def _marks(now: DaemonStatistics) -> Iterator[Metric]:
    marks = now.marks
    names = dict.fromkeys([each.name for each in now.exports], 0)
    names |= {loss.name: 1 for loss in marks.lost if loss.user is None}
    yield _gauge(
        "export_lost", "Whether the pages of an export ended with an earlier run; it is closed.",
        ["export"], [([name], is_lost) for name, is_lost in names.items()],
    )  # fmt: skip
    yield _gauge(
        "lost_pools", "Persistent pools of programs whose pages ended with an earlier run.", [],
        _one(sum(loss.user is not None for loss in marks.lost)),
    )  # fmt: skip
    yield _counter(
        "state_writes", "Writes of the state file, by outcome.", ["outcome"],
        _by({"written": marks.written_total, "failed": marks.failed_total}),
    )  # fmt: skip
    yield _gauge(
        "state_unwritten", "Whether the state file can't be written: first writes are refused.", [],
        _one(int(bool(marks.problem))),
    )  # fmt: skip


def _certificate(now: DaemonStatistics) -> Iterator[Metric]:
    if now.certificate_seconds is not None:
        yield _gauge(
            "certificate_expiry_seconds",
            "Until the certificate of this node ends; negative after that.",
            [],
            _one(now.certificate_seconds),
        )


def _pages(now: DaemonStatistics) -> Iterator[Metric]:
    store, pager = now.engine.store, now.pager
    stored = (
        store.put_total - store.put_zero_total - store.put_same_filled_total - store.put_raw_total
    )
    yield _counter(
        "puts", "Pages put, by how they are kept.", ["codec"],
        _by({
            "zero": store.put_zero_total,
            "same_filled": store.put_same_filled_total,
            "raw": store.put_raw_total,
            "compressed": stored,
        }),
    )  # fmt: skip
    yield _counter(
        "put_zpage_bytes", "Compressed bytes put.", [], _one(store.put_zpage_bytes_total)
    )
    yield _counter(
        "gets", "Pages looked up, by where they were.", ["place"],
        _by({
            "local": store.get_local_total,
            "peer": store.get_elsewhere_total,
            "hole": store.get_hole_total,
            "lost": store.get_lost_total,
        }),
    )  # fmt: skip
    yield _counter("flushed_pages", "Pages flushed.", [], _one(store.flushed_total))
    yield _counter("evicted_pages", "Ephemeral pages dropped, by whose.", ["place"], _by({
        "own": store.evicted_total - store.evicted_foreign_total,
        "foreign": store.evicted_foreign_total,
    }))  # fmt: skip
    yield _counter("corrupt_pages", "Zpages whose check failed.", [], _one(
        store.corrupt_total + now.engine.fetch.corrupt_total
    ))  # fmt: skip
    yield _counter("lost_pages", "Pages whose last copy is gone.", [], _one(store.lost_total))
    yield _counter(
        "refused_puts", "Puts for which there was no room.", [], _one(pager.refused_total)
    )
    yield _counter(
        "superseded_puts", "Puts that waited for room until a later write replaced their pages.", [],
        _one(pager.superseded_total),
    )  # fmt: skip
    yield _counter(
        "cancelled_puts", "Puts that waited for room until their client disconnected.", [],
        _one(pager.cancelled_total),
    )  # fmt: skip
    yield _gauge(
        "waiting_pools", "Exports and pools with puts that wait for room.", [],
        _one(pager.pools_waiting),
    )  # fmt: skip
    yield _gauge("waiting_requests", "Requests that wait.", ["operation"], _by({
        "get": pager.gets_waiting, "put": pager.puts_waiting,
    }))  # fmt: skip


def _remote(now: DaemonStatistics) -> Iterator[Metric]:
    remotify, fetch, engine = now.engine.remotify, now.engine.fetch, now.engine
    names = _names(now)
    ephemeral = remotify.ephemeral
    yield _counter(
        "remotify_pages", "Pages sent to peers, by kind and outcome.", ["kind", "outcome"],
        [
            (["persistent", "stored"], remotify.stored_total),
            (["persistent", "refused"], remotify.refused_total),
            (["persistent", "unknown"], remotify.unknown_total),
            (["persistent", "overtaken"], remotify.overtaken_total),
            (["ephemeral", "stored"], ephemeral.stored_total),
            (["ephemeral", "refused"], ephemeral.refused_total),
            (["ephemeral", "unknown"], ephemeral.unknown_total),
        ],
    )  # fmt: skip
    yield _counter(
        "remotify_zpage_bytes", "Compressed bytes that peers stored.", ["kind"],
        [
            (["persistent"], remotify.stored_zpage_bytes_total),
            (["ephemeral"], ephemeral.stored_zpage_bytes_total),
        ],
    )  # fmt: skip
    yield _counter(
        "forgotten_pages", "Ephemeral pages at peers, taken for dropped.", [],
        _one(ephemeral.forgotten_total),
    )  # fmt: skip
    yield _counter("fetch_pages", "Pages fetched from peers, by outcome.", ["outcome"], _by({
        "fetched": fetch.fetched_total,
        "overtaken": fetch.overtaken_total,
        "missing": fetch.missing_total,
        "missed": fetch.missed_total,
        "corrupt": fetch.corrupt_total,
        "unreachable": fetch.unreachable_total,
    }))  # fmt: skip
    yield _counter("localified_pages", "Fetched pages kept here.", [], _one(fetch.installed_total))
    yield _gauge(
        "pages_at_risk", "Pages at peers with fewer copies than asked.", [],
        _one(engine.rebuild.pages_at_risk),
    )  # fmt: skip
    yield _counter(
        "rebuilt_pages", "Pages fetched to be copied again.", [], _one(engine.rebuild.rebuilt_total)
    )
    yield _counter("replications", "Waits for peers, by outcome.", ["outcome"], _by({
        "stored": engine.replicate.stored_total, "failed": engine.replicate.failed_total,
    }))  # fmt: skip
    yield _counter("hedged_pages", "Pages asked for twice.", [], _one(fetch.hedged_total))
    yield _counter(
        "repatriated_pages", "Pages that came home for good.", [],
        _one(engine.repatriate.repatriated_total),
    )  # fmt: skip
    yield _gauge("requests_in_flight", "Requests to peers under way.", ["operation"], _by({
        "get": fetch.requests_in_flight, "put": remotify.requests_in_flight,
    }))  # fmt: skip
    yield _gauge(
        "remote_pages", "Pages of ours that a node keeps.", ["node"],
        [([names[each.node]], each.pages) for each in engine.holders if not each.is_dead],
    )  # fmt: skip
    yield _gauge(
        "foreign_pages", "Pages of a node that we keep.", ["node"],
        [([names[each.node]], each.pages) for each in engine.foreign],
    )  # fmt: skip
    yield _gauge(
        "recall_pages", "Foreign pages that their owners are asked to take back.", [],
        _one(engine.recall.pages_over),
    )  # fmt: skip
    yield _counter("recalls", "Recalls begun.", [], _one(engine.recall.recalls_total))
    yield _gauge(
        "retake_pages", "Pages of ours that their holders recall.", [],
        _one(engine.owner_recall.pages_over),
    )  # fmt: skip
    yield _counter(
        "retaken_pages",
        "Pages taken back from holders.",
        [],
        _one(engine.owner_recall.returned_total),
    )
    yield from _put_rate(now, names)
    yield from _trust(now, names)
    yield _gauge("flushes_owed", "Serials that peers may forget.", [], _one(engine.flushes_owed))


def _put_rate(now: DaemonStatistics, names: dict[int, str]) -> Iterator[Metric]:
    # A node that was removed has a bucket, and no name.
    rates = [
        ([names[node]], put_rate)
        for node, put_rate in now.engine.remotify.put_rate.items()
        if node in names
    ]
    yield _gauge(
        "put_rate_bytes", "Bytes a second that a node takes from us; 0: no cap.", ["node"],
        [(node, put_rate.bytes_per_second) for node, put_rate in rates],
    )  # fmt: skip
    yield _counter(
        "capped", "Times that a node had taken all that it takes for now.", ["node"],
        [(node, put_rate.closed_total) for node, put_rate in rates],
    )  # fmt: skip
    yield _counter(
        "capped_seconds", "How long a node was passed over for that.", ["node"],
        [(node, put_rate.closed_seconds_total) for node, put_rate in rates],
    )  # fmt: skip


def _trust(now: DaemonStatistics, names: dict[int, str]) -> Iterator[Metric]:
    peers = [([names[node]], trust) for node, trust in now.engine.trust.items() if node in names]
    yield _counter(
        "bad_copies", "Copies that a node said it stored, and that were bad.", ["kind"],
        [
            ([kind.value], sum(trust.bad_total[kind] for _, trust in peers)) for kind in BadCopy
        ],
    )  # fmt: skip
    yield _counter(
        "node_bad_copies", "Copies that this node said it stored, and that were bad.", ["node"],
        [(node, sum(trust.bad_total.values())) for node, trust in peers],
    )  # fmt: skip
    yield _gauge(
        "node_distrusted_seconds", "How long a node gets no new pages because copies were bad.",
        ["node"], [(node, trust.distrusted_seconds) for node, trust in peers],
    )  # fmt: skip
    yield _counter(
        "spot_checks", "Pages asked for to see whether a node keeps what it stored.", ["outcome"],
        _by({
            "judged": now.engine.spot_checks_total,
            "unanswered": now.engine.spot_checks_unanswered_total,
        }),
    )  # fmt: skip
    dead = sum(each.is_dead for each in now.engine.holders)
    yield _gauge(
        "holder_ids", "Incarnations of nodes that page tables name.", ["state"],
        _by({"living": len(now.engine.holders) - dead, "dead": dead}),
    )  # fmt: skip


def _names(now: DaemonStatistics) -> dict[int, str]:
    """Return the name of each node by number: one label of one meaning in all families, to join them by."""
    return {row.config.number: row.config.name for row in now.engine.nodes.nodes}


def _nodes(now: DaemonStatistics) -> Iterator[Metric]:
    rows = [row for row in now.engine.nodes.nodes if not row.is_local]
    yield _gauge(
        "node_up", "Whether this node believes a node to be up.", ["node"],
        [([row.config.name], float(row.state is NodeState.UP)) for row in rows],
    )  # fmt: skip
    yield _gauge(
        "node_state", "What this node believes of a node: 1 for that state, 0 for all others.",
        ["node", "state"],
        [
            ([row.config.name, state.value], float(row.state is state))
            for row in rows
            for state in NodeState
        ],
    )  # fmt: skip
    yield _gauge(
        "node_link_state", "Whether a link to a node is open, or what stood in the way last:"
        " 1 for that, 0 for all others.", ["node", "state"],
        [
            ([row.config.name, state.value], float(row.link is state))
            for row in rows
            for state in LinkState
        ],
    )  # fmt: skip
    yield _gauge(
        "node_cordoned",
        "Whether a node is to get no new pages.",
        ["node"],
        [([row.config.name], float(row.config.cordoned)) for row in now.engine.nodes.nodes],
    )  # fmt: skip
    yield _gauge(
        "membership_version", "How often the members were changed at run time.", [],
        [([], now.members.version)],
    )  # fmt: skip
    yield _gauge(
        "membership_unwritten", "Whether the present members could not be written to the file.", [],
        [([], float(bool(now.members.problem)))],
    )  # fmt: skip
    yield _gauge(
        "node_linked", "Whether a link to a node is open.", ["node"],
        [([row.config.name], float(row.is_linked)) for row in rows],
    )  # fmt: skip
    names = _names(now)
    links = [(names[node], link) for node, link in now.links.items()]
    yield _counter(
        "link_bytes", "Bytes on the present link.", ["node", "direction"],
        [([node, "sent"], link.bytes_sent_total) for node, link in links]
        + [([node, "received"], link.bytes_received_total) for node, link in links],
    )  # fmt: skip


def _nbd(now: DaemonStatistics) -> Iterator[Metric]:
    nbd = now.nbd
    yield _gauge("nbd_connections", "NBD clients.", [], _one(nbd.connections))
    yield _counter(
        "nbd_refused_connections", "NBD clients turned away.", [],
        _one(nbd.connections_refused_total),
    )  # fmt: skip
    yield _counter("nbd_requests", "NBD requests.", ["command"], _by(nbd.requests_total))
    yield _counter("nbd_errors", "NBD error replies.", ["errno"], _by(nbd.errors_total))
    yield _counter("nbd_bytes", "Bytes of NBD clients.", ["direction"], _by({
        "received": nbd.received_bytes_total, "sent": nbd.sent_bytes_total,
    }))  # fmt: skip


def _tmem(now: DaemonStatistics) -> Iterator[Metric]:
    tmem = now.tmem
    yield _gauge("tmem_connections", "Programs connected.", [], _one(tmem.connections))
    yield _counter(
        "tmem_refused_connections", "Programs turned away.", [],
        _one(tmem.connections_refused_total),
    )  # fmt: skip
    yield _counter("tmem_ended_connections", "Connections over, by reason.", ["reason"], _by(
        tmem.connections_ended_total
    ))  # fmt: skip
    yield _counter("tmem_requests", "tmem requests.", ["type"], _by(tmem.requests_total))
    yield _counter("tmem_errors", "tmem error replies.", ["code"], _by(tmem.errors_total))
    yield _counter("tmem_bytes", "Bytes of programs.", ["direction"], _by({
        "received": tmem.received_bytes_total, "sent": tmem.sent_bytes_total,
    }))  # fmt: skip
    yield _gauge("tmem_waiting_requests", "tmem requests that wait.", [], _one(tmem.in_flight))
    kinds = [kind.value for kind in PoolKind]
    pools = {kind: [each for each in tmem.pools if each.kind.value == kind] for kind in kinds}
    yield _gauge(
        "tmem_pools", "Pools of programs.", ["kind"],
        [([kind], len(some)) for kind, some in pools.items()],
    )  # fmt: skip
    yield _gauge(
        "tmem_pages", "Pages charged to pools of programs.", ["kind"],
        [([kind], sum(each.pages for each in some)) for kind, some in pools.items()],
    )  # fmt: skip
    yield _gauge("tmem_doomed_pools", "Pools being destroyed.", [], _one(tmem.doomed_pools))
