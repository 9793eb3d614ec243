"""What ends with a daemon: one sentence, for its log and for the operator who drains it.  Pure."""


def describe_ending(node: str, pages: int, clients: int) -> str:
    """Return what a stop of a node costs its own clients, or an empty text: nothing.

    Whatever a drain did: a node's own pages end with it, wherever they are.
    """
    if not pages:
        return ""
    connected = f"{clients:,} client{'' if clients == 1 else 's'} connected"
    if pages == 1:
        return f"node {node} still owns 1 page ({connected}): a stop ends it"
    return f"node {node} still owns {pages:,} pages ({connected}): a stop ends them"
