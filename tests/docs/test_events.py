"""docs/events.md has each kind of event, and each is one that the code records."""

import ast
import re
from collections.abc import Iterator
from typing import Final

from config.event_kinds import EventKind
from ramsterd.cli.format_events import HEAD, head_of_many
from ramsterd.host.events.recorder import EVENTS_PER_SPAN_MAX
from ramsterd.host.events.ring import EVENTS_MAX
from tests.docs.pages import DOCS, PACKAGES, ROOT, blocks, quoted, rows, section

PAGE: Final = (DOCS / "events.md").read_text()


def recorded() -> set[str]:
    """Return the names of the kinds that some module beside their list uses."""
    found: set[str] = set()
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            source = path.read_text()
            if "EventKind" in source:
                found |= set(kinds_of(source))
    return found


def kinds_of(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Attribute(value=ast.Name(id="EventKind"), attr=name):
                yield name
            case _:
                pass


def test_every_kind_is_in_the_table_in_the_order_of_the_code() -> None:
    kinds = [quoted(row[0])[0] for row in rows(section(PAGE, "Kinds"))]
    assert kinds == [kind.value for kind in EventKind]


def test_every_kind_is_recorded_somewhere() -> None:
    assert recorded() == {kind.name for kind in EventKind}


def test_the_examples_are_what_the_command_prints() -> None:
    of_one, of_all = blocks(PAGE, "")
    for block, expected in (
        (of_one, HEAD),
        (of_all, head_of_many(len("alpha"))),
    ):
        head, *lines = block.splitlines()
        assert head == expected
        place = re.split(" {2,}", head).index("KIND")
        kinds = {re.split(" {2,}", line)[place] for line in lines}
        assert kinds <= {kind.value for kind in EventKind}


def test_the_limits_are_those_of_the_code() -> None:
    text = " ".join(PAGE.split())
    assert f"ramsterd keeps the last {EVENTS_MAX:,} events." in text
    assert f"it keeps {EVENTS_PER_SPAN_MAX} in a minute." in text
