"""docs/configuration.md is what the samples say, and has every key of both files."""

from dataclasses import fields

import pytest

from config.model import ClusterConfig, DaemonConfig
from packages.manual.configuration import configuration_page
from tests.docs.pages import DOCS

MADE_BY = "python -m packages.manual.configuration > docs/configuration.md"


def test_the_page_is_made_from_the_samples() -> None:
    is_fresh = (DOCS / "configuration.md").read_text() == configuration_page()
    assert is_fresh, f"stale; type: {MADE_BY}"


@pytest.mark.parametrize("model", [DaemonConfig, ClusterConfig])
def test_every_key_and_table_of_a_file_is_there(model: type) -> None:
    page = configuration_page()
    missing = [
        each.name
        for each in fields(model)
        if not any(f in page for f in (f"| `{each.name}` |", f"### [{each.name}]", f"### [[{each.name}]]"))
    ]  # fmt: skip
    assert missing == []


def test_it_says_what_a_reload_applies() -> None:
    page = configuration_page()
    assert "| `high_watermark` | `0.92` |" in page
    rows = {line.split("`")[1]: line for line in page.splitlines() if line.startswith("| `")}
    assert rows["high_watermark"].endswith("| reload |")
    assert rows["budget"].endswith("| restart |")
