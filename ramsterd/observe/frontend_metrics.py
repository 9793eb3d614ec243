"""Metrics of clients: waiting puts and gets, NBD, exports, and programs at the tmem socket."""

from collections.abc import Iterator

from prometheus_client.core import Metric

from ramsterd.core.page import PoolKind
from ramsterd.frontends.clients.counters import ClientStatistics
from ramsterd.frontends.pager import PagerStatistics
from ramsterd.frontends.tmem.counters import TmemStatistics
from ramsterd.observe.metric import by, counter, gauge, latencies, one
from ramsterd.observe.snapshot import DaemonStatistics


def frontend_metrics(now: DaemonStatistics) -> Iterator[Metric]:
    """Yield the families."""
    yield from _pager(now.pager)
    yield from _connections("nbd", "NBD clients", now.nbd)
    yield counter(
        "nbd_requests", "Requests of NBD clients.", ["command"], by(now.nbd.requests_total)
    )
    yield counter("nbd_errors", "Errors sent to NBD clients.", ["errno"], by(now.nbd.errors_total))
    yield _latency(now)
    yield from _exports(now)
    yield from _connections("tmem", "programs at the tmem socket", now.tmem)
    yield counter(
        "tmem_requests", "Requests at the tmem socket.", ["type"], by(now.tmem.requests_total)
    )
    yield counter("tmem_errors", "Errors at the tmem socket.", ["code"], by(now.tmem.errors_total))
    yield from _tmem_pools(now.tmem)


def _pager(pager: PagerStatistics) -> Iterator[Metric]:
    yield gauge("pager_clients", "Clients of the store, of all kinds.", [], one(pager.clients))
    yield gauge("waiting_gets", "Reads that wait for pages at peers.", [], one(pager.waiting_gets))
    yield gauge("waiting_puts", "Writes that wait for room.", [], one(pager.waiting_puts))
    yield gauge(
        "waiting_pools", "Exports and pools with writes that wait for room.", [],
        one(pager.waiting_pools),
    )  # fmt: skip
    waits = pager.unreachable_waits
    yield gauge(
        "unreachable_reads", "Reads that wait for a page whose nodes can't be reached.", [],
        one(sum(each.reads for each in waits)),
    )  # fmt: skip
    yield gauge(
        "unreachable_writes", "Writes that wait for room at nodes that can't be reached.", [],
        one(sum(each.writes for each in waits)),
    )  # fmt: skip
    yield gauge(
        "unreachable_wait_seconds", "How long the oldest of these reads and writes has waited.", [],
        one(max((each.seconds for each in waits), default=0.0)),
    )  # fmt: skip
    yield counter(
        "outwaited_puts",
        "Writes that waited longer than put_wait_seconds_max for nodes that can't be reached.", [],
        one(pager.outwaited_puts_total),
    )  # fmt: skip
    yield counter(
        "refused_puts", "Writes refused, because there was no room.", [],
        one(pager.refused_puts_total),
    )  # fmt: skip
    yield counter(
        "refused_ephemeral_puts", "Refused writes of ephemeral pages, which were dropped instead.", [],
        one(pager.refused_ephemeral_puts_total),
    )  # fmt: skip
    yield counter(
        "superseded_puts", "Writes that waited for room until a later write replaced all their pages.", [],
        one(pager.superseded_puts_total),
    )  # fmt: skip
    yield counter(
        "cancelled_puts", "Writes that waited for room until their client disconnected.", [],
        one(pager.cancelled_puts_total),
    )  # fmt: skip


def _connections(name: str, who: str, now: ClientStatistics) -> Iterator[Metric]:
    yield gauge(f"{name}_connections", f"Connections of {who}.", [], one(now.connections))
    yield counter(
        f"{name}_accepted_connections", f"Connections of {who} accepted.", [],
        one(now.accepted_connections_total),
    )  # fmt: skip
    yield counter(
        f"{name}_refused_connections", f"Connections of {who} refused.", [],
        one(now.refused_connections_total),
    )  # fmt: skip
    yield counter(
        f"{name}_ended_connections", f"Connections of {who} that ended, by reason.", ["reason"],
        by(now.ended_connections_total),
    )  # fmt: skip
    yield gauge(
        f"{name}_requests_in_flight", f"Requests of {who} without an answer yet.", [],
        one(now.requests_in_flight),
    )  # fmt: skip
    yield counter(
        f"{name}_bytes", f"Bytes received from and sent to {who}.", ["direction"],
        by({"received": now.received_bytes_total, "sent": now.sent_bytes_total}),
    )  # fmt: skip


def _latency(now: DaemonStatistics) -> Metric:
    frontends = {"nbd": now.nbd.request_latency, "tmem": now.tmem.request_latency}
    return latencies(
        "request_latency_seconds", "Time from the receipt of a read or write to its answer, by tier."
        " Local: answered from the memory of this node. Peer: a page had to come from a peer, or go to one.",
        ["frontend", "operation", "tier"],
        [
            ([name, operation, tier], latency)
            for name, each in frontends.items()
            for operation, tier, latency in (
                ("read", "local", each.read_local),
                ("read", "peer", each.read_peer),
                ("write", "local", each.write_local),
                ("write", "peer", each.write_peer),
            )
        ],
    )  # fmt: skip


def _exports(now: DaemonStatistics) -> Iterator[Metric]:
    yield gauge(
        "export_size_bytes", "Size of an export.", ["export"],
        by_name({each.name: each.size_bytes for each in now.exports}),
    )  # fmt: skip
    yield gauge(
        "export_pages", "Pages of an export that are written and not discarded.", ["export"],
        by_name({each.name: each.pages for each in now.exports}),
    )  # fmt: skip
    yield gauge(
        "export_unreadable_pages", "Lost pages of an export, at most: reads of them fail.", ["export"],
        by_name({each.name: each.unreadable_pages for each in now.exports}),
    )  # fmt: skip


def by_name(counts: dict[str, int]) -> list[tuple[list[str], float]]:
    """Return a sample for each name, as it is written."""
    return [([name], count) for name, count in counts.items()]


def _tmem_pools(tmem: TmemStatistics) -> Iterator[Metric]:
    kinds = [kind.value for kind in PoolKind]
    pools = {kind: [each for each in tmem.pools if each.kind.value == kind] for kind in kinds}
    yield gauge(
        "tmem_pools", "Pools of programs.", ["kind"],
        [([kind], len(some)) for kind, some in pools.items()],
    )  # fmt: skip
    yield gauge(
        "tmem_pages", "Pages in pools of programs.", ["kind"],
        [([kind], sum(each.pages for each in some)) for kind, some in pools.items()],
    )  # fmt: skip
    yield gauge(
        "tmem_doomed_pools", "Pools of programs that are being destroyed.", [],
        one(tmem.doomed_pools),
    )  # fmt: skip
