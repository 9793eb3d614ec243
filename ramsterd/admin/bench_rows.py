"""What daemon and command agree on: operations, depths, and a row of the table.  Pure."""

from typing import Final

from ramsterd.admin.latencies import Latencies

DEPTH: Final = 32
# A page is read that was written.
OPERATIONS: Final = ("write", "read")


def row_of(
    kind: str,
    target: str,
    operation: str,
    latencies: Latencies,
    *,
    pages_per_second: float | None,
    problem: str,
) -> dict[str, object]:
    """Return a row of the table, as JSON has it."""
    return {
        "target": target,
        "kind": kind,
        "operation": operation,
        **latencies.figures(),
        "operations": latencies.count,
        "pages_per_second": pages_per_second,
        "problem": problem,
    }
