"""Rules and dashboard name what real daemons say, and a real Prometheus has an answer to each of their questions."""

import random
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from prometheus_client.parser import text_string_to_metric_families

from packages.monitoring.files import GROUPS
from packages.monitoring.panels import CURVES, NUMBERS
from packages.monitoring.rules import Alert, Recording
from tests.helpers.prometheus import Prometheus, prometheus
from tests.helpers.requirements import require_tool
from tests.system.conftest import NewCluster
from tests.system.daemons import Cluster, free_ports, wait_until

pytestmark = pytest.mark.slow

RULES: Final = [rule for group in GROUPS for rule in group.rules]
RECORDED: Final = {rule.name for rule in RULES if isinstance(rule, Recording)}
PANELS: Final = (*NUMBERS, *CURVES)
EXPRESSIONS: Final = [rule.expr for rule in RULES] + [
    query.expr for panel in PANELS for query in panel.queries
]
# What Prometheus adds to each series.
TARGET_LABELS: Final = {"job", "cluster", "instance"}
# Of Prometheus itself.
UP: Final = "up"
PAGES: Final = 2048


class Scraped:
    """What a daemon said, as Prometheus names it."""

    def __init__(self, text: str) -> None:
        self.labels: dict[str, set[str]] = {}
        self.values: dict[str, set[tuple[str, str]]] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                self.labels.setdefault(sample.name, set()).update(sample.labels)
                self.values.setdefault(sample.name, set()).update(sample.labels.items())


@pytest.fixture
def watched(new_cluster: NewCluster) -> tuple[Cluster, dict[str, int]]:
    """Return two nodes with pages at each other, and their metrics ports by their names."""
    ports = free_ports(2)
    cluster = new_cluster(budgets=["4MiB", "16MiB"])
    for node, port in zip(cluster, ports, strict=True):
        text = node.config.read_text()
        node.config.write_text(f'{text}[metrics]\nlisten = "127.0.0.1:{port}"\n')
    cluster.start()
    with cluster[1].client() as client:
        rng = random.Random(1)
        for index in range(PAGES):
            client.write(index * 4096, rng.randbytes(4096))
        wait_until(lambda: cluster[1].pages_at(2), "pages travel")
        for index in range(0, PAGES, 16):
            client.read(index * 4096, 4096)
    return cluster, dict(zip((node.name for node in cluster), ports, strict=True))


def scrape(port: int) -> Scraped:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        return Scraped(answer.read().decode())


def selectors(expr: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield each metric that an expression names, with the values that its labels must have."""
    for name, _, inside in re.findall(
        r"\b(up|(?:ramster|cluster:ramster)[\w:]*)(\{(.*?)\})?", expr
    ):
        yield name, dict(re.findall(r'(\w+)="([^"]*)"', inside))


def test_every_metric_and_label_that_rules_and_dashboard_name_is_in_a_real_scrape(
    watched: tuple[Cluster, dict[str, int]],
) -> None:
    scraped = scrape(watched[1]["n1"])
    asked = {
        (name, label, value)
        for expr in EXPRESSIONS
        for name, labels in selectors(expr)
        if name not in {*RECORDED, UP}
        for label, value in (labels or {"": ""}).items()
    }
    assert len(asked) > 50
    for name, label, value in sorted(asked):
        assert name in scraped.labels, name
        if label and label not in TARGET_LABELS:
            assert (label, value) in scraped.values[name], (name, label, value)


def test_labels_that_are_grouped_by_or_shown_exist(
    watched: tuple[Cluster, dict[str, int]],
) -> None:
    scraped = scrape(watched[1]["n1"])
    known = TARGET_LABELS.union(*scraped.labels.values())
    for expr in EXPRESSIONS:
        for group in re.findall(r"(?:by|on|ignoring) \(([^)]*)\)", expr):
            assert set(group.split(", ")) <= known, expr
    for panel in PANELS:
        for query in panel.queries:
            assert set(re.findall(r"{{(\w+)}}", query.legend)) <= known, panel.title


@pytest.mark.timeout(180)
def test_a_real_prometheus_answers_every_question_and_fires_nothing_without_cause(
    watched: tuple[Cluster, dict[str, int]], tmp_path: Path
) -> None:
    require_tool("prometheus")
    cluster, targets = watched
    (port,) = free_ports(1)
    folder = tmp_path / "prometheus"
    folder.mkdir()
    with prometheus(folder, port, targets, interval="1s", window="10s") as server:
        wait_until(lambda: len(recorded(server)) >= 2, "rules are evaluated", seconds_max=40)
        with cluster[1].client() as client:
            # A rate needs two scrapes while there is something to count.
            wait_until(
                lambda: bool(client.read(0, PAGES * 2048)) and not unanswered(server),
                "every panel has an answer",
                seconds_max=60,
            )
        rules = server.rules()
        assert {rule["name"] for rule in rules} == RECORDED | {
            rule.name for rule in RULES if isinstance(rule, Alert)
        }
        assert [rule["lastError"] for rule in rules if rule.get("lastError")] == []
        assert "firing" not in server.alerts().values()
        cluster[2].kill()
        wait_until(
            lambda: {"RamsterNoMetrics", "RamsterNodeDown"} <= server.alerts().keys(),
            "both alerts are there",
            seconds_max=30,
        )


def recorded(server: Prometheus) -> list[object]:
    return server.query("ramster:memory_used:ratio")


def unanswered(server: Prometheus) -> list[str]:
    """Return the panels without any answer, but for the one that shows what is wrong."""
    return [
        panel.title
        for panel in PANELS
        if panel.title != "Health" and not any(server.query(each.expr) for each in panel.queries)
    ]
