"""What is counted of pages that are fetched."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchStatistics:
    """Counts of pages, and of requests where the name says so."""

    wanted_pages: int
    requests_in_flight: int
    fetched_pages_total: int
    fetched_zpage_bytes_total: int
    localified_pages_total: int
    overtaken_pages_total: int
    corrupt_pages_total: int
    missing_pages_total: int
    # Ephemeral pages that a peer had no more, or could not be asked for; `missing` are persistent
    # ones.
    ephemeral_miss_pages_total: int
    requests_failed_total: int
    unreachable_pages_total: int
    hedged_pages_total: int
    hedge_delay_seconds: float
    # Gets that waited longer than `fetch_seconds_max`.
    outwaited_gets_total: int
