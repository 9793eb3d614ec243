"""The next program of this process: the same interpreter and command line, with descriptors that it inherits.

It is told of them as a service manager would tell it (sd_listen_fds(3)): they begin at 3, and the
environment has their names.  The process keeps its id, so nobody who watches it sees it end.
"""

import os
import sys
from collections.abc import Iterable, Sequence
from typing import Final, NoReturn

from ramsterd.host.fd_store import LISTEN_FDS_START

# The command of `ramsterd` that serves, and what it is replaced by to see whether the next start
# would succeed.
_RUN: Final = "run"


def command_line(*arguments: str, own: Sequence[str] | None = None) -> list[str]:
    """Return the command line of another `ramsterd` of the same interpreter and files.

    Args:
        arguments: Its command and options: not those of this process, which may be for one start
            only.
        own: The command line of this process.
    """
    own = sys.orig_argv if own is None else own
    end = own.index(_RUN) if _RUN in own else len(own)
    return [sys.executable, *own[1:end], *arguments]


def replace_process(
    named: Iterable[tuple[str, int]], arguments: list[str], environ: dict[str, str]
) -> NoReturn:
    """Become another program, which inherits descriptors by name.

    Raises:
        OSError: There is no such program, or no more descriptor; the descriptors of this process
            may be in disorder, so it is to end.
    """
    named = list(named)
    arrange([descriptor for _, descriptor in named])
    told = {
        "LISTEN_PID": str(os.getpid()),
        "LISTEN_FDS": str(len(named)),
        "LISTEN_FDNAMES": ":".join(name for name, _ in named),
    }
    os.execve(arguments[0], arguments, {**environ, **told})  # noqa: S606  our own program, no shell


def arrange(descriptors: Sequence[int], *, first: int = LISTEN_FDS_START) -> None:
    """Move descriptors to the numbers from `first` on, in this order, and have a child inherit them.

    Whatever else has one of these numbers is closed.  One more descriptor is needed than there are.
    """
    assert len(set(descriptors)) == len(descriptors)
    # Where each of them is now; a number to its place in the list.
    at = {descriptor: place for place, descriptor in enumerate(descriptors)}
    where = list(descriptors)
    for place in range(len(where)):
        target, found = first + place, where[place]
        if found != target:
            other = at.pop(target, None)
            if other is not None:
                # It is one of ours whose turn comes: out of the way.
                where[other] = os.dup(target)
                at[where[other]] = other
            os.dup2(found, target)
            os.close(found)
            del at[found]
        os.set_inheritable(target, True)
