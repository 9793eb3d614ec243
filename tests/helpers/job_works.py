"""Work as tests have it: a drain of node n2, and short ways to others."""

from typing import Any

from ramsterd.jobs.work import JobKind, Order, Work


def drain(left: int | None, trailing: int | None = 0, **changes: Any) -> Work:
    """Return a drain that has pages left."""
    made: dict[str, Any] = {
        "kind": JobKind.DRAIN,
        "key": "n2 3",
        "node": "n2",
        "what": "node n2",
        "is_active": left != 0 or trailing != 0,
        "left": left,
        "trailing": trailing,
        "stall_reason": "no other node has room",
        "order": Order("n1", "a new kernel"),
        "number": 3,
    }
    return Work(**(made | changes))


def rebuild(left: int, done_total: int = 0, **changes: Any) -> Work:
    """Return the work of copying pages again."""
    made: dict[str, Any] = {
        "kind": JobKind.REBUILD,
        "key": "pages at risk",
        "node": "n1",
        "what": "pages of node n1",
        "is_active": left > 0,
        "left": left,
        "done_total": done_total,
    }
    return Work(**(made | changes))


def verify(number: int, **changes: Any) -> Work:
    """Return a check of the memory."""
    made: dict[str, Any] = {
        "kind": JobKind.VERIFY,
        "key": f"pages {number}",
        "node": "n1",
        "what": "pages in the memory of node n1",
        "is_active": True,
        "left": 10,
        "done_total": 0,
        "noun": "block",
    }
    return Work(**(made | changes))
