"""docs/incidents.md says of each incident what was seen of it: the system tests hold the same table to real daemons."""

import re
from typing import Final

import pytest

from config.event_kinds import EventKind
from packages.monitoring.health_alerts import WORDS
from ramsterd.health.codes import Code
from tests.docs.pages import DOCS, blocks, quoted, section
from tests.helpers.incidents import CHANGE_UNWRITTEN, DISK_FILLS, FIRING, INCIDENTS, Said

PAGE: Final = (DOCS / "incidents.md").read_text()
HEADINGS: Final = list(dict.fromkeys(said.heading for said in INCIDENTS))
ALERT: Final = re.compile(r"`(Ramster\w+)`")
each_incident = pytest.mark.parametrize("said", INCIDENTS, ids=lambda said: said.code.value)
each_heading = pytest.mark.parametrize("heading", HEADINGS)


def of(heading: str) -> list[Said]:
    """Return what is told under a heading."""
    return [said for said in INCIDENTS if said.heading == heading]


def test_there_is_a_heading_for_each_incident() -> None:
    assert re.findall(r"^## (.*)$", PAGE, re.MULTILINE) == HEADINGS


@each_incident
def test_health_is_shown_with_the_code_and_the_command(said: Said) -> None:
    [shown] = [
        block
        for block in blocks(section(PAGE, said.heading), "")
        if f"{said.severity.name:<6} {said.code.value} " in block
        and f"         type: {said.command}\n" in block
    ]
    assert "failure tolerance: " in shown.splitlines()[0]


def test_a_change_that_is_not_in_the_file_is_shown_too() -> None:
    assert f"         type: {CHANGE_UNWRITTEN}\n" in section(PAGE, DISK_FILLS.heading)


@each_incident
def test_the_alert_has_its_state_and_its_command(said: Said) -> None:
    text = section(PAGE, said.heading)
    assert f"`{said.alert}` is {said.alert_state}" in text
    if said.alert_state == FIRING:
        assert f"`{said.alert_command}`" in text


@each_incident
def test_an_alert_that_is_pending_is_one_that_waits(said: Said) -> None:
    waits = WORDS[said.code, said.severity].holds != "0s"
    assert waits == (said.alert_state != FIRING)


@each_incident
def test_the_alert_says_to_type_what_was_seen(said: Said) -> None:
    assert WORDS[said.code, said.severity].command == said.alert_command


@each_heading
def test_no_other_alert_event_or_page_is_named(heading: str) -> None:
    text, told = section(PAGE, heading), of(heading)
    assert set(ALERT.findall(text)) == {
        name for said in told for name in (said.alert, *said.more_alerts)
    }
    kinds = {kind.value for kind in EventKind}
    assert set(quoted(text)) & kinds == {
        EventKind.HEALTH_CHANGED, *(kind for said in told for kind in said.kinds)
    }  # fmt: skip
    shown = {each.split(" for ")[0] for each in quoted(text) if " for " in each}
    assert shown & {code.value for code in Code} == {told[-1].code.value}
