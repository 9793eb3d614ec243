"""What ends with a daemon: one sentence, for its log and for the operator who drains it.  Pure."""

from typing import Final

# A node that asks another can't tell whether that keeps its memory.
UNLESS_KEPT: Final = ", unless [memory] keep names a folder there"


def describe_ending(node: str, pages: int, clients: int, *, may_be_kept: bool = False) -> str:
    """Return what a stop of a node costs its own clients, or an empty text: nothing.

    Whatever a drain did: a node's own pages end with it, wherever they are.

    Args:
        node: Its name.
        pages: How many it owns.
        clients: How many are connected.
        may_be_kept: Whether its memory may outlive a stop, for all that is known here.
    """
    if not pages:
        return ""
    connected = f"{clients:,} client{'' if clients == 1 else 's'} connected"
    owned = "1 page" if pages == 1 else f"{pages:,} pages"
    lost = "it is lost" if pages == 1 else "these pages are lost"
    unless = UNLESS_KEPT if may_be_kept else ""
    return f"node {node} still owns {owned} ({connected}): {lost} when ramsterd stops{unless}"
