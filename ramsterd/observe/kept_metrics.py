"""The families of kept memory: who keeps the pages, what this start found of those of the last run, and how far it checked them."""

from collections.abc import Iterator

from prometheus_client.core import Metric

from ramsterd.core.scrub import ScrubStatistics
from ramsterd.kept.memory import MemoryStatistics
from ramsterd.observe.metric import gauge, one


def kept_metrics(memory: MemoryStatistics, scrub: ScrubStatistics) -> Iterator[Metric]:
    """Yield every family of one snapshot."""
    yield from _attach(memory)
    yield from _scrub(scrub)


def _attach(memory: MemoryStatistics) -> Iterator[Metric]:
    yield gauge(
        "memory_kept",
        "Whether the pages of this node stay when ramsterd ends, and who keeps them ([memory] keep).",
        ["keeper"],
        [([memory.keeper or "no"], bool(memory.keeper))],
    )
    yield gauge(
        "memory_given_up",
        "Whether this start gave up the pages that were kept; the log says why.",
        [],
        one(bool(memory.given_up)),
    )
    yield gauge(
        "memory_made_timestamp_seconds",
        "When the kept memory was made, in seconds since 1970.",
        [],
        one(memory.made_timestamp_seconds),
    )
    yield gauge(
        "memory_attaches",
        "Restarts of ramsterd that the kept memory has outlived.",
        [],
        one(memory.attaches),
    )
    yield gauge(
        "memory_attempts",
        "Starts in a row, this one included, that did not serve until all kept pages were checked; after 3 the pages are given up.",
        [],
        one(memory.attempts),
    )
    yield gauge(
        "memory_adopted_pages",
        "Pages of the last run that this start took over, wherever they are.",
        [],
        one(memory.adopted_pages),
    )
    yield gauge(
        "memory_broken_pages",
        "Pages of the last run that this start found damaged; an ephemeral page that was just given up is none.",
        [],
        one(memory.broken_pages),
    )
    yield gauge(
        "memory_lost_pages",
        "Persistent pages of this node that this start found damaged: reads fail until they are written.",
        [],
        one(memory.lost_pages),
    )
    yield gauge(
        "memory_lost_pools",
        "Exports and pools whose tables this start found damaged: all their pages are lost.",
        [],
        one(memory.lost_pools),
    )
    yield gauge(
        "memory_attach_seconds",
        "Time that this start took to check the pages of the last run.",
        [],
        one(memory.attach_seconds),
    )


def _scrub(scrub: ScrubStatistics) -> Iterator[Metric]:
    yield gauge(
        "scrub_running",
        "Whether every compressed page here is being compared with its checksum: after a restart with kept memory, or by `ramsterctl verify`.",
        [],
        one(scrub.is_running),
    )
    yield gauge(
        "scrub_blocks", "Blocks of the arena that the scrub goes through.", [], one(scrub.blocks)
    )
    yield gauge(
        "scrub_seen_blocks",
        "Blocks of the arena that the scrub has gone through.",
        [],
        one(scrub.blocks_seen),
    )
    yield gauge(
        "scrub_checked_zpages",
        "Compressed pages that the last scrub has checked so far.",
        [],
        one(scrub.zpages_checked),
    )
    yield gauge(
        "scrub_corrupt_zpages",
        "Compressed pages that the last scrub found damaged and dropped.",
        [],
        one(scrub.corrupt),
    )
