"""One counter has one name: each number of `ramsterctl status -o json` is in `/metrics` under the words of its key.

The rule that docs/metrics.md tells: the key is made of words of the metric (its name, its label values), and the
metric's name is made of words of the key and of the objects around it (or is the name of a label).
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import pytest

from ramsterd.observe.metrics import RamsterCollector
from ramsterd.observe.snapshot import to_plain
from tests.helpers.made_statistics import NAME, NODE, made_statistics

# What is in no metric, or is there in another form, and why.  A list stands for each of its rows.
EXCEPTIONS: Final = {
    "number": "says which node this is",
    "incarnation": "says which run this is",
    "incarnation_floors.newest": "is an incarnation; the metric says whether there is one",
    "engine.remote.incarnation": "says of which run these pages are",
    "engine.foreign.incarnation": "says of which run these pages are",
    "engine.nodes.nodes.config.number": "is configuration",
    "engine.nodes.nodes.config.port": "is configuration",
    "engine.nodes.nodes.incarnation": "says which run of a peer this is",
    "engine.remotify.refused_until.beta": "is a time on this node's clock",
    "engine.nodes.nodes.changed_at": "is a time on this node's clock",
    "engine.nodes.nodes.status.free_bytes": "is what a peer says of itself: its own metrics have it",
    "engine.nodes.nodes.status.budget_bytes": "is what a peer says of itself: its own metrics have it",
    "engine.nodes.nodes.status.pressure": "is what a peer says of itself: its own metrics have it",
    "engine.nodes.nodes.status.pages_held_for_us": "is what a peer says of itself: its own metrics have it",
    "engine.nodes.nodes.status.put_bytes_per_second": "is shown as the put rate of that node",
    "engine.remotify.ephemeral.requests_in_flight": "is part of remotify.requests_in_flight",
    "engine.store.put_zeroed_pages_total": "is part of put_zero_pages_total",
    "engine.foreign_zpage_bytes": "is the sum of store.zpage_bytes over the foreign families",
    "engine.rebuild.seconds_left": "is an estimate for people, and not always known",
    "engine.scrub.blocks": "tells `verify` how far it is",
    "engine.scrub.blocks_seen": "tells `verify` how far it is",
    "engine.scrub.zpages_checked": "tells `verify` how far it is",
    "engine.scrub.cleared_corrupt_pages": "tells health what a scrub has cleared of corrupt_pages_total",
    "engine.scrub.corrupt": "is what the last `verify` found; corrupt_pages_total counts it, too",
    "engine.audit.leaves_checked": "tells `verify` how far it is",
    "engine.audit.blocks_checked": "tells `verify` how far it is",
    "peer_reports.beta.clock_uncertainty_seconds": "says how far clock_skew_seconds may be wrong",
    "protection.locked_bytes": "counts mappings with their holes; the metric says whether they are locked",
    "protection.lock_limit_bytes": "is a setting of the system",
    "tmem.pools.user": "says whose pool this is",
    "tmem.pools.objects": "is of one pool: programs make as many pools as they like",
    "tmem.pools.connections": "is of one pool: programs make as many pools as they like",
    "tmem.users.user": "says which user this is",
    "tmem.users.pools": "is of one user; the metric is of all",
    "tmem.users.pages": "is of one user; the metric is of all",
    "engine.scrub.scrubs_total": "tells one `verify` from the next; jobs count them, too",
    "engine.audit.audits_total": "tells one `verify` from the next; jobs count them, too",
    "engine.owner_recall.recalling.beta": "is part of owner_recall.recall_pages",
    "engine.nodes.nodes.config.drain_number": "says which drain this is",
    "engine.nodes.nodes.config.drain_began_at": "is a date",
    "engine.nodes.nodes.config.drain_deadline_at": "is a date",
    "engine.nodes.nodes.config.drain_origin": "says where an operator was",
    "membership.drains.beta.pages_foreign": "is what a peer says of itself: its own metrics have it",
    "membership.drains.beta.pages_foreign_max": "is what a peer says of itself: it is no metric there",
    "membership.drains.beta.said_seconds": "says how old what a peer said is",
    "membership.drains.beta.pages_own_elsewhere": "is what a peer says of itself: its own metrics have it",
    "membership.drains.beta.pages_owned": "is what a peer says of itself: its own metrics have it",
    "membership.drains.beta.clients": "is what a peer says of itself: its own metrics have it",
    "jobs.jobs.age_seconds": "is of one job: there may be many",
    "jobs.jobs.ended_seconds": "is of one job: there may be many",
    "jobs.jobs.seconds_to_deadline": "is of one job: there may be many",
    "jobs.jobs.done": "is of one job: there may be many",
    "jobs.jobs.total": "is of one job: there may be many",
    "jobs.jobs.trailing": "is of one job: there may be many",
    "jobs.jobs.as_of_seconds": "is of one job: there may be many",
    "jobs.jobs.per_second": "is of one job: there may be many",
    "jobs.jobs.seconds_left": "is an estimate for people, and not always known",
    "exports.lost_at": "is a date",
    "health.codes.active_seconds": "is for people: the metric says whether the code holds",
    "health.codes.muted_seconds": "is for people: the metric says whether the code is muted",
    "state_file.lost.user": "says whose pool this is",
    "state_file.lost.lost_at": "is a date",
}  # fmt: skip


@dataclass(frozen=True)
class Number:
    """One number of the status."""

    path: tuple[str, ...]
    value: float

    @property
    def name(self) -> str:
        return ".".join(self.path)


@dataclass(frozen=True)
class Found:
    """One sample of the metrics, or the sum of a family's."""

    name: str
    labels: dict[str, str]
    value: float


def numbers(value: object, path: tuple[str, ...] = ()) -> Iterator[Number]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield from numbers(each, (*path, key))
    elif isinstance(value, list):
        for each in value:
            yield from numbers(each, path)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield Number(path, value)


def words(*texts: str) -> set[str]:
    """Return the words of keys, metrics and labels: `_` parts them, and one is as good as several."""
    parts = {part for text in texts for part in text.lower().split("_")} - {"ramster", "total", ""}
    return {part.removesuffix("s") for part in parts}


@functools.cache
def found() -> list[Found]:
    """Return all of them; there are hundreds of numbers to look for."""
    rows = []
    for family in RamsterCollector(made_statistics).collect():
        samples = [Found(each.name, each.labels, each.value) for each in family.samples]
        rows += samples
        rows.append(Found(family.name, {}, sum(each.value for each in samples)))
    return rows


def is_named_alike(number: Number, metric: Found) -> bool:
    if metric.value != number.value:
        return False
    # The last key may be a value of a label; then the one before it says what is counted.
    values = [
        value.lower() for value in (*metric.labels.values(), "_".join(metric.labels.values()))
    ]
    path = [part for part in number.path if part.lower() not in values]
    key = words(path[-1])
    name = words(metric.name.removesuffix("_sum"))
    return key <= name | words(*values, *metric.labels) and name <= words(
        *number.path, *metric.labels
    )


def is_bucket(number: Number) -> bool:
    """Whether it is one of a histogram's: they are cumulative in the metric."""
    return number.path[-1] == "counts"


STATUS: Final = [
    number for number in numbers(to_plain(made_statistics(), {NODE: NAME})) if not is_bucket(number)
]


@pytest.mark.parametrize("number", STATUS, ids=lambda number: number.name)
def test_a_number_of_the_status_is_in_the_metrics_under_its_name(number: Number) -> None:
    if number.name in EXCEPTIONS:
        return
    candidates = [f"{each.name}{each.labels}" for each in found() if each.value == number.value]
    assert any(is_named_alike(number, each) for each in found()), candidates


def test_no_exception_outlives_its_number() -> None:
    assert EXCEPTIONS.keys() <= {number.name for number in STATUS}


def test_nodes_are_shown_by_name() -> None:
    paths = {number.name for number in STATUS}
    assert f"links.{NAME}.bytes_sent_total" in paths
    assert f"engine.trust.{NAME}.credit_pages" in paths
    assert f"engine.remotify.node_stored_pages_total.{NAME}" in paths
    assert not [number for number in STATUS if number.value == NODE and number.path[-1] != "number"]
