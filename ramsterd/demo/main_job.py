"""What the demo does, in order: measure, start, write, read back and compare, flush, stop.

Each step ends with what it showed; what must be true is a claim, and the demo succeeds only if all
of them hold.
"""

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from config.limits import BUDGET_BYTES_MIN, PAGE_BYTES
from ramsterd.client.nbd import NbdClient
from ramsterd.core.codec import encode_page
from ramsterd.demo.archive import Archive
from ramsterd.demo.cluster import EXPORT, NAMES, Cluster
from ramsterd.demo.report import Report, mib

# The first node gets this part of what the archive compresses to; the rest has to go elsewhere.
BUDGET_DIVISOR: Final = 4
_SETTLE_SECONDS_MAX: Final = 10.0
_FORGET_SECONDS_MAX: Final = 10.0
_OWNER: Final = NAMES[0]


@dataclass(frozen=True, slots=True)
class Measure:
    """What the archive is before any daemon sees it."""

    archive_bytes: int
    zpage_bytes: int

    @property
    def pages(self) -> int:
        """How many pages it fills."""
        return self.archive_bytes // PAGE_BYTES

    @property
    def budgets_bytes(self) -> tuple[int, ...]:
        """Budgets: a quarter for the first node, room for everything at each of the others."""
        least = BUDGET_BYTES_MIN
        quarter = self.zpage_bytes // BUDGET_DIVISOR // PAGE_BYTES * PAGE_BYTES
        whole = -(-self.zpage_bytes // PAGE_BYTES) * PAGE_BYTES
        return max(least, quarter), *(max(least, whole) for _ in NAMES[1:])


@dataclass(frozen=True, slots=True)
class Counts:
    """What the first node says of its pages, out of its `status`."""

    same_filled: int
    local: int
    at: dict[str, int]
    zpage_bytes_put: int
    in_flight: int
    remotified: dict[str, int]
    fetched: int
    resident_bytes: int
    export_pages: int

    @classmethod
    def of(cls, status: dict[str, Any]) -> "Counts":
        """Take what the demo shows out of an answer to `status`."""
        engine = status["engine"]
        store, remotify = engine["store"], engine["remotify"]
        at = dict.fromkeys(NAMES[1:], 0)
        for holder in engine["remote"]:
            at[holder["node"]] += holder["pages"]
        return cls(
            same_filled=store["put_zero_pages_total"] + store["put_same_filled_pages_total"],
            local=store["zpages"]["own_persistent"],
            at=at,
            zpage_bytes_put=store["put_zpage_bytes_total"],
            in_flight=remotify["pages_in_flight"],
            remotified={
                name: remotify["node_stored_pages_total"].get(name, 0) for name in NAMES[1:]
            },
            fetched=engine["fetch"]["fetched_pages_total"],
            resident_bytes=store["zbud"]["resident_bytes"],
            export_pages=sum(export["pages"] for export in status["exports"]),
        )


@dataclass(frozen=True, slots=True)
class Passage:
    """One pass over the export: what went through, and how long it took."""

    sha256: str
    seconds: float

    def rate(self, byte_count: int) -> str:
        """Return bytes per second for people."""
        return f"{mib(byte_count / self.seconds)}/s"


def measure(archive: Archive, report: Report) -> Measure:
    """Compress every page once, so that the budget can be a quarter of the whole."""
    done_bytes = zpage_bytes = 0
    for piece in archive.pieces():
        for start in range(0, len(piece), PAGE_BYTES):
            zpage_bytes += len(encode_page(piece[start : start + PAGE_BYTES])[1])
        done_bytes += len(piece)
        if report.is_live_due():
            report.live("measuring", f"{mib(done_bytes)} of {mib(archive.archive_bytes)}")
    return Measure(done_bytes, zpage_bytes)


def run_main_job(archive: Archive, cluster: Cluster, report: Report) -> None:
    """Do all of it; `report.has_failed` tells whether all claims held.

    Raises:
        ClusterFailed, NbdError, OSError: It could not be done.
    """
    places = " and ".join(str(folder) for folder in archive.folders)
    report.say("input", f"{len(archive.members):,} files under {places}")
    measured = measure(archive, report)
    report.say(
        "archive",
        f"{mib(measured.archive_bytes)}, {measured.pages:,} pages, "
        f"compress to {mib(measured.zpage_bytes)}",
    )
    _start(cluster, measured, report)
    owner = cluster.nodes[0]
    with NbdClient.connect(owner.nbd_path, EXPORT) as client:
        written = _write(client, archive, cluster, report)
        _wait_settled(cluster)
        after_write = Counts.of(owner.ask("status"))
        books = _foreign_pages(cluster)
        read = _read(client, measured, cluster, report)
        after_read = Counts.of(owner.ask("status"))
        _print_table(report, measured, after_write, after_read, written, read)
        report.say("claims", "")
        _claim_moved(report, cluster, measured, after_write, after_read, books)
        report.claim(
            f"read back what was written: SHA-256 {read.sha256}"
            if read.sha256 == written.sha256
            else f"wrote SHA-256 {written.sha256}, read {read.sha256}",
            holds=read.sha256 == written.sha256,
        )
        _flush(client, measured, cluster, report)
    _stop(cluster, report)


def _start(cluster: Cluster, measured: Measure, report: Report) -> None:
    began = time.perf_counter()
    if report.is_live_due():
        report.live("daemons", "starting three")
    cluster.start(measured.budgets_bytes, measured.archive_bytes)
    cluster.wait_linked()
    budgets = ", ".join(f"{node.name} {mib(node.budget_bytes)}" for node in cluster.nodes)
    report.say(
        "daemons",
        f"three ramsterd, linked after {time.perf_counter() - began:.1f} s; budgets: {budgets}",
    )


def _write(client: NbdClient, archive: Archive, cluster: Cluster, report: Report) -> Passage:
    """Stream the archive in; the time includes reading and hashing the files."""
    digest = hashlib.sha256()
    began = time.perf_counter()

    def pieces() -> Iterator[bytes]:
        done_bytes = 0
        for piece in archive.pieces():
            digest.update(piece)
            yield piece
            done_bytes += len(piece)
            _show_live(report, "writing", done_bytes, archive.archive_bytes, began, cluster)

    client.write_stream(0, pieces())
    return Passage(digest.hexdigest(), time.perf_counter() - began)


def _read(client: NbdClient, measured: Measure, cluster: Cluster, report: Report) -> Passage:
    digest = hashlib.sha256()
    began = time.perf_counter()
    done_bytes = 0
    for piece in client.read_stream(0, measured.archive_bytes):
        digest.update(piece)
        done_bytes += len(piece)
        _show_live(report, "reading", done_bytes, measured.archive_bytes, began, cluster)
    return Passage(digest.hexdigest(), time.perf_counter() - began)


def _show_live(
    report: Report, label: str, done_bytes: int, all_bytes: int, began: float, cluster: Cluster
) -> None:
    if not report.is_live_due():
        return
    now = Counts.of(cluster.nodes[0].ask("status"))
    rate = done_bytes / (time.perf_counter() - began)
    places = ", ".join(f"{name} {count:,}" for name, count in {_OWNER: now.local, **now.at}.items())
    report.live(
        label,
        f"{mib(done_bytes)} of {mib(all_bytes)}, {mib(rate)}/s; {places}; {now.fetched:,} fetched",
    )


def _wait_settled(cluster: Cluster) -> None:
    """Wait for the pages that are on their way when the last write is answered."""
    cluster.wait_for(
        "pages on their way to peers to arrive",
        lambda: not Counts.of(cluster.nodes[0].ask("status")).in_flight,
        seconds_max=_SETTLE_SECONDS_MAX,
    )


def _foreign_pages(cluster: Cluster) -> dict[str, int]:
    """Return how many pages of the first node each other one says that it keeps."""
    return {
        node.name: sum(
            each["pages"]
            for each in node.ask("status")["engine"]["foreign"]
            if each["node"] == cluster.nodes[0].name
        )
        for node in cluster.nodes[1:]
    }


def _print_table(
    report: Report,
    measured: Measure,
    after_write: Counts,
    after_read: Counts,
    written: Passage,
    read: Passage,
) -> None:
    all_bytes = measured.archive_bytes
    ratio = all_bytes / max(1, after_write.zpage_bytes_put)
    rows = [
        ("pages written", f"{measured.pages:,}", mib(all_bytes)),
        ("same-filled", f"{after_write.same_filled:,}", "take no room"),
        (
            f"kept local, at {_OWNER}",
            f"{after_write.local:,}",
            "once all that had to leave had left",
        ),
        *((f"remotified to {name}", f"{n:,}", "") for name, n in after_write.remotified.items()),
        ("compression ratio", f"{ratio:.2f}", f"{mib(after_write.zpage_bytes_put)} of zpages"),
        ("in", f"{written.seconds:.1f} s", f"{written.rate(all_bytes)}, with reading the files"),
        ("out", f"{read.seconds:.1f} s", f"{read.rate(all_bytes)}, with comparing"),
        ("pages fetched back", f"{after_read.fetched - after_write.fetched:,}", ""),
    ]
    report.say("result", "")
    report.table(rows)


def _claim_moved(
    report: Report,
    cluster: Cluster,
    measured: Measure,
    after_write: Counts,
    after_read: Counts,
    books: dict[str, int],
) -> None:
    for name, count in after_write.remotified.items():
        report.claim(f"{count:,} pages were remotified to {name}", holds=count > 0)
    somewhere = after_write.same_filled + after_write.local + sum(after_write.at.values())
    report.claim(
        f"same-filled, local and remote pages make {somewhere:,}, the number written",
        holds=somewhere == measured.pages,
    )
    counted = " and ".join(f"{count:,} at {name}" for name, count in books.items())
    report.claim(
        f"{_OWNER} counts what its peers count: {counted}",
        holds=books == after_write.at,
    )
    fetched = after_read.fetched - after_write.fetched
    report.claim(f"{fetched:,} pages were fetched back", holds=fetched > 0)
    budget_bytes = cluster.nodes[0].budget_bytes
    resident_bytes = max(after_write.resident_bytes, after_read.resident_bytes)
    report.claim(
        f"{_OWNER} used {mib(resident_bytes)} of its budget of {mib(budget_bytes)}",
        holds=resident_bytes <= budget_bytes,
    )


def _flush(client: NbdClient, measured: Measure, cluster: Cluster, report: Report) -> None:
    """TRIM the whole export; the peers are told in batches, a little later."""
    client.trim(0, measured.archive_bytes)
    deadline = time.perf_counter() + _FORGET_SECONDS_MAX
    while any(left := _foreign_pages(cluster).values()) and time.perf_counter() < deadline:
        time.sleep(0.02)
    counted = " and ".join(
        f"{count:,} at {name}" for name, count in _foreign_pages(cluster).items()
    )
    report.claim(f"after TRIM the foreign pages are gone: {counted}", holds=not any(left))
    pages = Counts.of(cluster.nodes[0].ask("status")).export_pages
    is_zero = not any(any(piece) for piece in client.read_stream(0, measured.archive_bytes))
    report.claim(f"the export has {pages:,} pages and reads as zeros", holds=pages == 0 and is_zero)


def _stop(cluster: Cluster, report: Report) -> None:
    statuses = cluster.stop()
    said = ", ".join(f"{name} {status}" for name, status in statuses.items())
    left = cluster.left_behind()
    report.claim(f"the daemons stopped with status: {said}", holds=not any(statuses.values()))
    report.claim(f"sockets left behind: {', '.join(left) or 'none'}", holds=not left)
