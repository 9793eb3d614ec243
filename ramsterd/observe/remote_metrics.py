"""Metrics of pages on their way to peers and back: remotify, fetch, copies, recall, and trust in holders."""

from collections.abc import Iterator

from prometheus_client.core import Metric

from ramsterd.observe.metric import by, counter, gauge, one
from ramsterd.observe.node_metrics import names_of
from ramsterd.observe.snapshot import DaemonStatistics
from ramsterd.pagepath.engine_statistics import EngineStatistics


def remote_metrics(now: DaemonStatistics) -> Iterator[Metric]:
    """Yield the families."""
    names = names_of(now)
    yield from _remotify(now.engine)
    yield from _put_rate(now.engine, names)
    yield from _fetch(now.engine)
    yield from _read_ahead(now.engine)
    yield from _copies(now.engine)
    yield from _background(now.engine)
    yield from _holders(now.engine, names)
    yield from _foreign(now.engine, names)
    yield from _trust(now.engine, names)
    yield from _reconcile(now.engine)


def _remotify(engine: EngineStatistics) -> Iterator[Metric]:
    remotify, ephemeral = engine.remotify, engine.remotify.ephemeral
    yield counter(
        "remotify_pages", "Pages sent to peers, by kind and outcome. Unknown: the peer did not answer."
        " Overtaken: the page was written again or discarded meanwhile.", ["kind", "outcome"],
        [
            (["persistent", "stored"], remotify.stored_pages_total),
            (["persistent", "refused"], remotify.refused_pages_total),
            (["persistent", "unknown"], remotify.unknown_pages_total),
            (["persistent", "overtaken"], remotify.overtaken_pages_total),
            (["ephemeral", "stored"], ephemeral.stored_pages_total),
            (["ephemeral", "refused"], ephemeral.refused_pages_total),
            (["ephemeral", "unknown"], ephemeral.unknown_pages_total),
        ],
    )  # fmt: skip
    yield counter(
        "remotify_stored_zpage_bytes", "Compressed size of the pages that peers stored.", ["kind"],
        [
            (["persistent"], remotify.stored_zpage_bytes_total),
            (["ephemeral"], ephemeral.stored_zpage_bytes_total),
        ],
    )  # fmt: skip
    yield gauge(
        "remotify_pages_in_flight", "Pages sent to peers that have not answered yet.", ["kind"],
        [
            (["persistent"], remotify.pages_in_flight - ephemeral.pages_in_flight),
            (["ephemeral"], ephemeral.pages_in_flight),
        ],
    )  # fmt: skip
    yield gauge(
        "requests_in_flight", "Requests to peers without an answer yet.", ["operation"],
        by({"get": engine.fetch.requests_in_flight, "put": remotify.requests_in_flight}),
    )  # fmt: skip
    yield counter(
        "forgotten_pages", "Ephemeral pages at peers that this node no longer counts on.", [],
        one(ephemeral.forgotten_pages_total),
    )  # fmt: skip
    yield gauge(
        "flushes_owed", "Page versions at peers that this node has not yet told them to drop.", [],
        one(engine.flushes_owed),
    )  # fmt: skip


def _put_rate(engine: EngineStatistics, names: dict[int, str]) -> Iterator[Metric]:
    # A node that was removed has a bucket, and no name.
    rates = [
        ([names[node]], put_rate)
        for node, put_rate in engine.remotify.put_rate.items()
        if node in names
    ]
    yield gauge(
        "put_rate_bytes_per_second", "Rate at which a node accepts pages from this node; 0: unlimited.",
        ["node"], [(node, put_rate.bytes_per_second) for node, put_rate in rates],
    )  # fmt: skip
    yield counter(
        "put_rate_throttled", "Times that this node reached the put rate of a node.", ["node"],
        [(node, put_rate.throttled_total) for node, put_rate in rates],
    )  # fmt: skip
    yield counter(
        "put_rate_throttled_seconds", "Time without new pages for a node, because its put rate was reached.",
        ["node"], [(node, put_rate.throttled_seconds_total) for node, put_rate in rates],
    )  # fmt: skip


def _fetch(engine: EngineStatistics) -> Iterator[Metric]:
    fetch = engine.fetch
    yield counter(
        "fetch_pages", "Pages requested from peers, by outcome. Missing: the holder has lost a page."
        " Ephemeral miss: the holder has evicted the page, or did not answer."
        " Overtaken: the page was written again or discarded meanwhile. Unreachable: no holder answered in time.",
        ["outcome"],
        by({
            "fetched": fetch.fetched_pages_total,
            "overtaken": fetch.overtaken_pages_total,
            "missing": fetch.missing_pages_total,
            "ephemeral_miss": fetch.ephemeral_miss_pages_total,
            "corrupt": fetch.corrupt_pages_total,
            "unreachable": fetch.unreachable_pages_total,
        }),
    )  # fmt: skip
    yield counter(
        "fetched_zpage_bytes", "Compressed size of the pages fetched from peers.", [],
        one(fetch.fetched_zpage_bytes_total),
    )  # fmt: skip
    yield counter(
        "fetch_requests_failed", "Requests for pages that a peer did not answer.", [],
        one(fetch.requests_failed_total),
    )  # fmt: skip
    yield counter(
        "localified_pages", "Fetched pages that this node keeps in its memory again.", [],
        one(fetch.localified_pages_total),
    )  # fmt: skip
    yield gauge(
        "wanted_pages", "Pages at peers that clients wait for.", [], one(fetch.wanted_pages)
    )
    yield counter(
        "hedged_pages", "Pages requested from a second holder, because the first was slow.", [],
        one(fetch.hedged_pages_total),
    )  # fmt: skip
    yield counter(
        "outwaited_gets",
        "Reads that waited longer than fetch_seconds_max for nodes that can't be reached.", [],
        one(fetch.outwaited_gets_total),
    )  # fmt: skip
    yield gauge(
        "hedge_delay_seconds", "Time without an answer after which a second holder is asked.", [],
        one(fetch.hedge_delay_seconds),
    )  # fmt: skip
    yield counter(
        "corrupt_pages", "Pages whose checksum was wrong, in this node's memory (local) or from a peer (remote).",
        ["place"],
        by({"local": engine.store.corrupt_pages_total, "remote": fetch.corrupt_pages_total}),
    )  # fmt: skip


def _read_ahead(engine: EngineStatistics) -> Iterator[Metric]:
    ahead = engine.read_ahead
    yield counter(
        "read_ahead_asked_pages", "Pages requested from peers before a client read them.", [],
        one(ahead.asked_pages_total),
    )  # fmt: skip
    yield counter(
        "read_ahead_pages", "Pages requested before a client read them, by outcome."
        " Unused: no client read the page in time. Outdated: the page was written again or discarded, or came"
        " back otherwise. Failed: the peer did not return the page.", ["outcome"],
        by({
            "used": ahead.used_pages_total,
            "unused": ahead.unused_pages_total,
            "outdated": ahead.outdated_pages_total,
            "failed": ahead.failed_pages_total,
        }),
    )  # fmt: skip
    yield counter(
        "read_ahead_late_pages", "Used pages that were still in flight when a client read them.", [],
        one(ahead.late_pages_total),
    )  # fmt: skip
    yield gauge(
        "read_ahead_waiting_pages", "Pages read ahead that no client has read yet, by state.", ["state"],
        by({"in_flight": ahead.in_flight_waiting_pages, "kept": ahead.kept_waiting_pages}),
    )  # fmt: skip
    yield gauge(
        "read_ahead_zpage_bytes", "Compressed size of the pages read ahead that no client has read yet.", [],
        one(ahead.zpage_bytes),
    )  # fmt: skip
    yield gauge(
        "read_ahead_bytes_max", "Bound on the compressed size of pages read ahead; 0: off.", [],
        one(ahead.bytes_max),
    )  # fmt: skip
    yield gauge(
        "read_ahead_readers", "Readers whose next reads are guessed.", [], one(ahead.readers)
    )
    yield counter(
        "read_ahead_forgotten_readers", "Readers that made way for others.", [],
        one(ahead.forgotten_readers_total),
    )  # fmt: skip


def _copies(engine: EngineStatistics) -> Iterator[Metric]:
    yield gauge(
        "pages_at_risk", "Pages at peers with fewer copies than asked.", [],
        one(engine.rebuild.pages_at_risk),
    )  # fmt: skip
    yield gauge(
        "counting_pages_at_risk", "Whether more pages at risk may be found: a sweep looks for them.", [],
        one(engine.rebuild.is_counting),
    )  # fmt: skip
    yield gauge(
        "rebuild_waiting_for_room", "Whether pages at risk stay so because no further node can take a copy.", [],
        one(engine.rebuild.is_waiting_for_room),
    )  # fmt: skip
    yield counter(
        "rebuilt_pages", "Pages fetched to be copied again, because a copy was lost.", [],
        one(engine.rebuild.rebuilt_pages_total),
    )  # fmt: skip
    replicate = engine.replicate
    yield gauge(
        "waiting_replications", 'FLUSH and FUA requests that wait for copies (durability = "replicated").', [],
        one(replicate.waiting_replications),
    )  # fmt: skip
    yield counter(
        "replications", 'FLUSH and FUA requests that waited for copies (durability = "replicated"), by outcome.',
        ["outcome"],
        by({
            "stored": replicate.stored_replications_total,
            "failed": replicate.failed_replications_total,
        }),
    )  # fmt: skip


def _background(engine: EngineStatistics) -> Iterator[Metric]:
    repatriate, owner, holder = engine.repatriate, engine.owner_recall, engine.holder_recall
    yield counter(
        "repatriated_pages", "Pages moved back from peers, because this node has room again.", [],
        one(repatriate.repatriated_pages_total),
    )  # fmt: skip
    yield gauge(
        "repatriate_pages_in_flight", "Pages requested from peers to move them back.", [],
        one(repatriate.pages_in_flight),
    )  # fmt: skip
    yield gauge(
        "holder_recall_pages", "Foreign pages here that this node asks their owners to take elsewhere.", [],
        one(holder.recall_pages),
    )  # fmt: skip
    yield counter(
        "recalls", "Recalls that this node began as a holder.", [], one(holder.recalls_total)
    )
    yield gauge(
        "owner_recall_pages", "Pages of this node that their holders ask it to take elsewhere.", [],
        one(owner.recall_pages),
    )  # fmt: skip
    yield gauge(
        "owner_recall_pages_in_flight", "Pages requested from holders that recall them.", [],
        one(owner.pages_in_flight),
    )  # fmt: skip
    yield counter(
        "recalled_pages", "Pages that this node took from holders that recalled them.", [],
        one(owner.recalled_pages_total),
    )  # fmt: skip


def _holders(engine: EngineStatistics, names: dict[int, str]) -> Iterator[Metric]:
    remote = engine.remote
    yield gauge(
        "remote_pages", "Pages of this node that a peer holds.", ["node"],
        [([names[each.node]], each.pages) for each in remote if not each.is_dead],
    )  # fmt: skip
    stored = engine.remotify.node_stored_pages_total
    yield counter(
        "node_stored_pages", "Persistent pages that a peer has stored for this node since the start.", ["node"],
        [([names[node]], pages) for node, pages in stored.items() if node in names],
    )  # fmt: skip
    dead = sum(each.is_dead for each in remote)
    yield gauge(
        "holder_ids", "Incarnations of peers that the tables name as holders.", ["state"],
        by({"living": len(remote) - dead, "dead": dead}),
    )  # fmt: skip


def _foreign(engine: EngineStatistics, names: dict[int, str]) -> Iterator[Metric]:
    owners = [([names[each.node]], each) for each in engine.foreign]
    yield gauge(
        "foreign_pages", "Pages that this node holds for a peer.", ["node"],
        [(node, each.pages) for node, each in owners],
    )  # fmt: skip
    yield counter(
        "foreign_put_pages", "Pages stored here for a peer.", ["node"],
        [(node, each.put_pages_total) for node, each in owners],
    )  # fmt: skip
    yield counter(
        "foreign_refused_pages", "Pages of a peer that this node refused.", ["node"],
        [(node, each.refused_pages_total) for node, each in owners],
    )  # fmt: skip
    yield counter(
        "foreign_get_pages", "Pages that a peer fetched from here.", ["node"],
        [(node, each.get_pages_total) for node, each in owners],
    )  # fmt: skip
    yield gauge(
        "foreign_room_bytes", "Compressed pages of other nodes that this node would take now.", [],
        one(engine.foreign_room_bytes),
    )  # fmt: skip
    yield counter(
        "foreign_purged_pages", "Foreign pages dropped, because their owner restarted or stayed away.", [],
        one(engine.foreign_purged_pages_total),
    )  # fmt: skip


def _trust(engine: EngineStatistics, names: dict[int, str]) -> Iterator[Metric]:
    peers = [([names[node]], trust) for node, trust in engine.trust.items() if node in names]
    yield counter(
        "bad_copies", "Copies that a node reported as stored and did not keep intact, by fault.",
        ["node", "fault"],
        [
            ([*node, fault.value], count)
            for node, trust in peers
            for fault, count in trust.bad_copies_total.items()
        ],
    )  # fmt: skip
    yield gauge(
        "node_distrusted_seconds", "Time for which a node gets no new pages, because its copies were bad.",
        ["node"], [(node, trust.distrusted_seconds) for node, trust in peers],
    )  # fmt: skip
    yield gauge(
        "trust_unproven_pages", "Pages that a node reported as stored since the last spot check.", ["node"],
        [(node, trust.unproven_pages) for node, trust in peers],
    )  # fmt: skip
    yield gauge(
        "trust_credit_pages", "Pages that a node may store before the next spot check.", ["node"],
        [(node, trust.credit_pages) for node, trust in peers],
    )  # fmt: skip
    yield counter(
        "spot_checks", "Pages fetched only to check that their holder keeps them, by outcome.", ["outcome"],
        by({
            "judged": engine.judged_spot_checks_total,
            "unanswered": engine.unanswered_spot_checks_total,
        }),
    )  # fmt: skip


def _reconcile(engine: EngineStatistics) -> Iterator[Metric]:
    reconcile = engine.reconcile
    yield gauge(
        "reconciling_holders", "Peers whose pages are compared with those that this node counts there,"
        " because one of the two was restarted with its memory kept.", [],
        one(reconcile.reconciling_holders),
    )  # fmt: skip
    yield counter(
        "reconciled_holders", "Comparisons with a peer that have ended.", [],
        one(reconcile.reconciled_holders_total),
    )  # fmt: skip
    yield counter(
        "reconcile_copies", "Differences that comparisons with peers found. Unknown: a peer holds a page that"
        " this node had dropped; it is told so. Missing: a peer lacks a page that it had stored.", ["outcome"],
        by({"unknown": reconcile.unknown_copies_total, "missing": reconcile.missing_copies_total}),
    )  # fmt: skip
