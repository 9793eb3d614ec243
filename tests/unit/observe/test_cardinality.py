"""A scrape has a bounded number of series, also in a cluster of 65 nodes."""

import pytest

from ramsterd.observe.metrics import (
    EXPORT_SERIES_MAX,
    NODE_SERIES_MAX,
    SERIES_MAX,
    RamsterCollector,
)
from tests.helpers.made_statistics import wide_statistics


def series(*, nodes: int, exports: int) -> set[tuple[str, frozenset[tuple[str, str]]]]:
    statistics = wide_statistics(nodes=nodes, exports=exports)
    samples = [
        (sample.name, frozenset(sample.labels.items()))
        for family in RamsterCollector(lambda: statistics).collect()
        for sample in family.samples
    ]
    assert len(samples) == len(set(samples)), "no series twice"
    return set(samples)


@pytest.mark.parametrize(("nodes", "exports"), [(1, 1), (1, 64), (64, 1), (64, 16)])
def test_a_scrape_has_no_more_series_than_its_limits_say(nodes: int, exports: int) -> None:
    bound = SERIES_MAX + nodes * NODE_SERIES_MAX + exports * EXPORT_SERIES_MAX
    assert 0.9 * bound < len(series(nodes=nodes, exports=exports)) <= bound


def test_each_limit_is_reached() -> None:
    """One series more for each node fails here, and is to be wanted."""
    alone = len(series(nodes=1, exports=1))
    assert len(series(nodes=2, exports=1)) - alone in {NODE_SERIES_MAX - 1, NODE_SERIES_MAX}
    assert len(series(nodes=1, exports=2)) - alone == EXPORT_SERIES_MAX


def test_only_nodes_and_exports_bring_series_of_their_own() -> None:
    """All other labels have values that this program knows."""
    more = series(nodes=3, exports=2) - series(nodes=2, exports=1)
    assert {
        label for _, labels in more for label, value in labels if value in {"node4", "export1"}
    } == {"node", "export"}
    assert all(dict(labels).get("node") or dict(labels).get("export") for _, labels in more)
