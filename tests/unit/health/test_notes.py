"""Members that get no new pages because an operator said so."""

from dataclasses import replace

import pytest

from ramsterd.health.codes import Severity
from ramsterd.health.facts import KeptOut
from ramsterd.health.machine import Health
from ramsterd.health.notes import notes
from tests.helpers.command_lines import check_line
from tests.helpers.health_facts import FACTS


@pytest.mark.parametrize(
    ("kept_out", "state"),
    [
        (KeptOut(name="beta"), "beta is cordoned and gets no new pages"),
        (
            KeptOut(name="beta", is_draining=True, began="2023-11-14 22:13:20 UTC", reason="new disk"),
            "beta is draining since 2023-11-14 22:13:20 UTC (new disk)",
        ),
        (KeptOut(name="beta", is_draining=True), "beta is draining"),
        (
            KeptOut(name="beta", is_draining=True, is_drained=True, began="2023-11-14 22:13:20 UTC"),
            "beta is drained",
        ),
        (
            KeptOut(name="beta", is_draining=True, is_drained=True, reason="new disk"),
            "beta is drained (new disk)",
        ),
        (
            KeptOut(name="beta", is_draining=True, is_drained=None, began="2023-11-14 22:13:20 UTC"),
            "beta is draining or drained since 2023-11-14 22:13:20 UTC",
        ),
    ],
    ids=["cordoned", "draining", "draining, since nobody knows when", "drained", "drained for a reason", "a drain of long ago"],
)  # fmt: skip
def test_a_member_that_gets_no_new_pages_is_named(kept_out: KeptOut, state: str) -> None:
    [note] = notes(replace(FACTS, kept_out=(kept_out,)))
    assert note == f"{state}; to end this: ramsterctl node uncordon beta"
    check_line("ramsterctl node uncordon beta", is_whole=True)


def test_a_note_changes_no_severity() -> None:
    facts = replace(FACTS, kept_out=(KeptOut(name="beta"), KeptOut(name="gamma")))
    now = Health().on_facts(facts, 1.0)
    assert (now.severity, now.codes, len(now.notes)) == (Severity.OK, (), 2)


def test_without_such_members_there_is_no_note() -> None:
    assert notes(FACTS) == ()
