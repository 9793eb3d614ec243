"""What descriptors are called on the way from one process to the next.  Pure.

The names are those of the service manager's store: kept memory has its own there, and what a unit's
sockets are called its file says.  None of these is touched.
"""

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

# A name and a descriptor.
Named = tuple[str, int]

DOCUMENT_NAME: Final = "ramster-handover"
# Short enough for all of them in one variable; without leading zeros a number has one name.
_SOCKET_NAME: Final = re.compile(rf"{DOCUMENT_NAME}-(0|[1-9][0-9]{{0,5}})")
NAME_BYTES_MAX: Final = len(DOCUMENT_NAME) + 1 + 6


class Received(NamedTuple):
    """What a process was started with."""

    # Copies of the document: more than one means that nobody knows which is meant.
    documents: list[int]
    # By number of the record; several of one number: nobody knows which is meant.
    sockets: dict[int, list[int]]
    # Of others.
    others: list[Named]


def socket_name(number: int) -> str:
    """Return the name of the socket of a record."""
    return f"{DOCUMENT_NAME}-{number}"


def sort_received(received: Iterable[Named]) -> Received:
    """Tell what is ours from what is not."""
    documents: list[int] = []
    sockets: dict[int, list[int]] = {}
    others: list[Named] = []
    for name, descriptor in received:
        if name == DOCUMENT_NAME:
            documents.append(descriptor)
        elif found := _SOCKET_NAME.fullmatch(name):
            sockets.setdefault(int(found[1]), []).append(descriptor)
        else:
            others.append((name, descriptor))
    return Received(documents, sockets, others)
