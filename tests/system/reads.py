"""Many reads of single pages under way at once, on one connection."""

from ramsterd.client.nbd import NbdClient, RequestFailed
from ramsterd.frontends.nbd.protocol import Command

PAGE = 4096


def ask_for(client: NbdClient, indexes: range) -> dict[int, int]:
    """Send reads of single pages without waiting; return index by offset."""
    for index in indexes:
        client._ask(Command.READ, index * PAGE, PAGE)
    return {index * PAGE: index for index in indexes}


def take_answers(client: NbdClient, asked: dict[int, int]) -> dict[int, bytes | int]:
    """Return what was answered, data or errno, in the order in which the answers came."""
    answers: dict[int, bytes | int] = {}
    for _ in asked:
        try:
            offset, data = client._next_reply()
            answers[asked[offset]] = data
        except RequestFailed as error:
            answers[asked[error.offset]] = error.errno
    return answers
