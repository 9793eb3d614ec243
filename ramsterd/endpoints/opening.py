"""Opening: a task opens an endpoint.

The starter waits until it is open, or is told in one line why not.
"""

import errno
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Final

import trio

from ramsterd.endpoints.bind_errors import explain
from ramsterd.endpoints.sockets import SocketPathTaken

# Why a socket can't be had that is no passing state: it is the same at the next start.
_LASTING: Final = frozenset(
    {
        errno.EACCES, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EINVAL, errno.ELOOP,
        errno.ENAMETOOLONG, errno.ENOENT, errno.ENOTDIR, errno.EPERM, errno.EROFS,
    }
)  # fmt: skip


class CannotServe(Exception):
    """An endpoint or the links can't be opened; the message is one line for the operator."""

    def __init__(self, message: str, *, is_in_the_files: bool = False) -> None:
        super().__init__(message)
        # The configuration is wrong, and will be wrong again at the next start.
        self.is_in_the_files = is_in_the_files


async def start(
    nursery: trio.Nursery,
    serve: Callable[..., Awaitable[object]],
    what: str,
    keys: Mapping[str, str],
) -> None:
    """Start a task that opens an endpoint, and wait until it is open.

    `keys` are those of `keys_of_endpoints`.

    Raises:
        CannotServe: (in an exception group) It can't be opened.
    """
    try:
        await nursery.start(serve)
    except* (OSError, SocketPathTaken) as group:
        error = next(leaves(group))
        assert isinstance(error, OSError | SocketPathTaken), "nothing else is caught"
        is_lasting = isinstance(error, OSError) and error.errno in _LASTING
        raise CannotServe(explain(error, what, keys), is_in_the_files=is_lasting) from group


def leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    """Yield the exceptions of a group and of the groups in it."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from leaves(error)
        else:
            yield error
