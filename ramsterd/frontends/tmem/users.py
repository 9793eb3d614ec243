"""The user ids that may use the socket, and the one at its other end."""

import os
import pwd
import socket
import struct
from collections.abc import Iterable
from typing import Final

# struct ucred of unix(7): pid, uid, gid.
_UCRED: Final = struct.Struct("=iII")


def allowed_users(users: Iterable[int | str]) -> frozenset[int]:
    """Return the ids of the users that the config names; none named: root and the daemon's own.

    Raises:
        KeyError: A name that this machine does not know (`config.load` has looked them up already).
    """
    ids = {user if isinstance(user, int) else pwd.getpwnam(user).pw_uid for user in users}
    return frozenset(ids or {0, os.geteuid()})


def peer_user(sock: socket.socket) -> int:
    """Return the user id of the process that connected, as the kernel noted it then (SO_PEERCRED)."""
    data = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    _, user, _ = _UCRED.unpack(data)
    assert isinstance(user, int)
    return user
