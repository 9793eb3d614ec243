"""Metrics of addresses: lookups of host names, and whether this node is where cluster.toml has it."""

from collections.abc import Iterator

from prometheus_client.core import Metric

from ramsterd.membership.addresses import AddressStatistics
from ramsterd.observe.metric import by, counter, gauge, one


def address_metrics(addresses: AddressStatistics) -> Iterator[Metric]:
    """Yield the families."""
    lookups = addresses.lookups
    yield counter(
        "lookups", "Lookups of host names of members, by outcome. Late: an answer was waited for in vain.",
        ["outcome"],
        by({
            "found": lookups.found_total,
            "failed": lookups.failed_total,
            "late": lookups.late_total,
        }),
    )  # fmt: skip
    yield gauge(
        "lookups_under_way", "Lookups of host names of members that have not ended.", [],
        one(lookups.under_way),
    )  # fmt: skip
    yield gauge(
        "names_not_found", "Host names of members that the last lookup did not find.", [],
        one(sum(bool(row.problem) for row in addresses.names)),
    )  # fmt: skip
    yield gauge(
        "listens_elsewhere", "Whether this node can't listen at its address in cluster.toml.", [],
        one(float(bool(addresses.problem))),
    )  # fmt: skip
