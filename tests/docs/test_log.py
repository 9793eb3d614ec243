"""What docs/operations.md says of the log is what the code does."""

from typing import Final

from config.limits import NODES_MAX
from config.model import LOG_SUBSYSTEMS
from ramsterd.host.logs.handler import CLOSE_SECONDS_MAX, DEBUG_LINES_MAX
from ramsterd.host.logs.limiter import LINES_MAX, SPAN_SECONDS
from ramsterd.host.logs.line_queue import QUEUE_BYTES_MAX, QUEUE_LINES_MAX
from tests.docs.pages import DOCS, quoted, rows, section

LOG: Final = section((DOCS / "operations.md").read_text(), "The log")


def test_every_subsystem_is_in_the_table() -> None:
    named = [name for row in rows(LOG) for name in quoted(row[0]) if not name.startswith("ramster")]
    assert named == sorted(LOG_SUBSYSTEMS)


def test_the_limits_are_those_of_the_code() -> None:
    assert (CLOSE_SECONDS_MAX, SPAN_SECONDS) == (1.0, 60.0)
    text = " ".join(LOG.split())
    assert f"At most {QUEUE_BYTES_MAX >> 10} KiB and {QUEUE_LINES_MAX:,} lines wait" in text
    assert f"at most {LINES_MAX} in a minute" in text
    assert f"those about nodes and links: {2 * NODES_MAX:,}." in text
    assert f"At level `debug` a kind has {DEBUG_LINES_MAX:,} lines in a minute." in text
