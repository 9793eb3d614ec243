"""Sorts the reasons that links end with, so that they can be counted.  Pure.

A reason is a sentence for people, made where it is known (`net.connection`, `net.tls`); its
beginning says who refused whom.  tests/unit/net/test_why.py holds both sides together.
"""

from typing import Final

from nodemanager.states import LinkState

_BEGINNINGS: Final = {
    "refused: ": LinkState.REFUSED_HERE,
    "the peer refused this node: ": LinkState.REFUSED_THERE,
}


def sort_reason(reason: str) -> tuple[LinkState, str]:
    """Return why there is no link, and the rest of the reason.

    What is no refusal is out of reach.
    """
    for beginning, why in _BEGINNINGS.items():
        if reason.startswith(beginning):
            return why, reason.removeprefix(beginning)
    return LinkState.UNREACHABLE, reason
