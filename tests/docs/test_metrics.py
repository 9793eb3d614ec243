"""docs/metrics.md lists each metric with its labels and the text of its HELP line, in the order of a scrape."""

from pathlib import Path

from prometheus_client.core import Metric

from ramsterd.observe.metrics import RamsterCollector
from tests.helpers.made_statistics import made_statistics

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
HEAD = "| metric | labels | what it is |\n| --- | --- | --- |\n"


def line(family: Metric) -> str:
    """Return the line of a metric in the table."""
    name = f"{family.name}_total" if family.type == "counter" else family.name
    labels = dict.fromkeys(label for sample in family.samples for label in sample.labels)
    labels.pop("le", None)
    shown = ", ".join(f"`{label}`" for label in labels)
    return f"| `{name}` | {shown} | {family.documentation} |"


def test_the_reference_has_every_metric() -> None:
    lines = [line(family) for family in RamsterCollector(made_statistics).collect()]
    _, table = PAGE.read_text().split(HEAD)
    assert table.splitlines() == lines
