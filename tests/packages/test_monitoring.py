"""Rules of Prometheus and the dashboard: made from one source, judged by promtool, and each alert fires when it should."""

import json
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from packages.contents import DOCUMENTS
from packages.monitoring.files import GROUPS, RULES_NAME, files
from packages.monitoring.health_alerts import WORDS
from packages.monitoring.panels import CURVES, NUMBERS
from packages.monitoring.rules import CRITICAL, RUNBOOK, WARNING, Alert, Recording
from packages.release import ROOT
from ramsterd.health.codes import RULES
from tests.docs.pages import DOCS, quoted
from tests.docs.words import private_words
from tests.helpers.command_lines import check_line
from tests.helpers.requirements import require_tool
from tests.packages.rule_stories import ALERTS, STEP_SECONDS, rule_test, stories

FOLDER: Final = ROOT / "config/prometheus"
RECORDINGS: Final = [
    rule for group in GROUPS for rule in group.rules if isinstance(rule, Recording)
]
each_alert = pytest.mark.parametrize(
    "alert", ALERTS, ids=lambda alert: f"{alert.name}-{alert.severity}"
)


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    require_tool("promtool")
    return subprocess.run(
        ["promtool", *arguments], capture_output=True, check=False, text=True, timeout=60
    )


@pytest.mark.parametrize("name", files())
def test_a_file_is_what_the_source_makes(name: str) -> None:
    assert (ROOT / name).read_text() == files()[name], "type: make monitoring"


@pytest.mark.parametrize(
    "arguments", [("config", "prometheus.yml"), ("rules", "--lint-fatal", RULES_NAME)]
)
def test_promtool_takes_the_files(arguments: tuple[str, ...]) -> None:
    *words, name = arguments
    done = promtool("check", *words, FOLDER / name)
    assert done.returncode == 0, done.stdout + done.stderr


@cache
def rule_groups() -> list[dict[str, Any]]:
    """Return what is installed."""
    groups: list[dict[str, Any]] = yaml.safe_load((FOLDER / RULES_NAME).read_text())["groups"]
    return groups


def rules_of(alert: Alert) -> dict[str, Any]:
    """Return, of what is installed, one alert and all series that are recorded: other alerts are half of what promtool evaluates."""
    identity = alert.name, alert.severity

    def is_kept(rule: dict[str, Any]) -> bool:
        return "record" in rule or (rule["alert"], rule["labels"]["severity"]) == identity

    return {
        "groups": [
            {**group, "rules": list(filter(is_kept, group["rules"]))} for group in rule_groups()
        ]
    }


@pytest.mark.slow
@each_alert
def test_an_alert_fires_when_it_should_and_is_quiet_else(alert: Alert, tmp_path: Path) -> None:
    told = list(stories(alert))
    assert any(story.fires for story in told)
    assert any(not story.fires for story in told)
    tests = [rule_test(alert, story) for story in told]
    # Documents of JSON are such of YAML.
    rules, file = tmp_path / "rules.yml", tmp_path / "stories.yml"
    rules.write_text(json.dumps(rules_of(alert)))
    file.write_text(
        json.dumps({
            "rule_files": [str(rules)],
            "evaluation_interval": f"{STEP_SECONDS}s",
            "tests": tests,
        })
    )  # fmt: skip
    done = promtool("test", "rules", file)
    assert done.returncode == 0, done.stdout + done.stderr


# Code, heading and alert are one thing.


def test_each_code_has_an_alert_for_each_of_its_severities() -> None:
    severities = {"WARN": WARNING, "ERR": CRITICAL}
    wanted = {
        (code.value, severities[each.name]) for code, rule in RULES.items() for each in rule.severities
    }  # fmt: skip
    codes = {code.value for code in RULES}
    assert {(alert.heading, alert.severity) for alert in ALERTS if alert.heading in codes} == wanted
    assert len(WORDS) == len(wanted)


@each_alert
def test_the_runbook_of_an_alert_is_a_heading_that_is_installed(alert: Alert) -> None:
    text = (DOCS / "health.md").read_text()
    assert re.search(rf"^#+ {re.escape(alert.heading)}$", text, re.MULTILINE)
    assert f"file:///{DOCUMENTS}/health.md" == RUNBOOK
    assert alert.runbook == f"{RUNBOOK}#{alert.heading.lower()}"


@each_alert
def test_an_alert_ends_in_a_command_that_its_heading_has_too(alert: Alert) -> None:
    _, text = re.split(
        rf"^#+ {alert.heading}$", (DOCS / "health.md").read_text(), flags=re.MULTILINE
    )
    text = re.split(r"^#", text, maxsplit=1, flags=re.MULTILINE)[0]
    typed = {re.sub(r" [A-Z].*", "", each) for each in (*quoted(text), "ramsterctl health")}
    assert re.sub(r" [A-Z].*", "", alert.command) in typed
    assert alert.description.endswith(f"type: {alert.command}")
    if alert.command.startswith("ramsterctl"):
        check_line(alert.command, is_whole=True)


@each_alert
def test_an_alert_is_a_sentence_that_names_what_it_is_about(alert: Alert) -> None:
    assert alert.summary.endswith(".")
    assert alert.worse.endswith(".")
    assert "  " not in alert.description
    assert "{{ $labels." in alert.summary or "cluster" in alert.summary
    assert private_words(f"{alert.summary} {alert.worse}") == []


def test_the_headings_of_alerts_are_those_that_there_are() -> None:
    _, only_alerts = (DOCS / "health.md").read_text().split("## What only alerts say\n")
    found = re.findall(r"^### (\w+)$", only_alerts, re.MULTILINE)
    assert found == [alert.name for alert in ALERTS if alert.name == alert.heading]


def test_every_series_that_is_recorded_is_used() -> None:
    asked = [query.expr for panel in (*NUMBERS, *CURVES) for query in panel.queries]
    asked += [alert.expr for alert in ALERTS]
    assert [each.name for each in RECORDINGS if not any(each.name in expr for expr in asked)] == []


# The dashboard.


def test_panels_of_the_dashboard_do_not_cover_each_other() -> None:
    made: dict[str, Any] = json.loads(files()["config/grafana/ramster.json"])
    taken: set[tuple[int, int]] = set()
    for panel in made["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _ in cells) < 24
        assert not cells & taken
        taken |= cells
    assert len({panel["id"] for panel in made["panels"]}) == len(NUMBERS) + len(CURVES)


def test_each_panel_says_what_it_shows() -> None:
    for panel in (*NUMBERS, *CURVES):
        assert panel.text.endswith(".")
        assert private_words(f"{panel.title}. {panel.text}") == []
