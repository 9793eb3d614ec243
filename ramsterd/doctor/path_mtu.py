"""Do large packets arrive at another node: what the kernel knows of the way, and what comes back.  A shell.

Datagrams that may not be cut leave for the discard port (RFC 863), where nobody listens: the kernel
there answers each that arrives with "port unreachable".  If it answers a small one, and none that
is as large as the interface here allows, such packets vanish on the way, and nobody says so.  Then
a link opens, and pages do not pass.  Where a firewall drops the small one, too, nobody knows.
"""

import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import trio

_DISCARD_PORT: Final = 9
# linux/in.h and linux/in6.h: the level, MTU_DISCOVER, MTU.
_OPTIONS: Final = {
    socket.AF_INET: (socket.IPPROTO_IP, 10, 14),
    socket.AF_INET6: (socket.IPPROTO_IPV6, 23, 24),
}
_PMTUDISC_DO: Final = 2
# Heads of IP and UDP.
_HEAD_BYTES: Final = {socket.AF_INET: 28, socket.AF_INET6: 48}
# 16 bits are the length of a packet.
_DATAGRAM_BYTES_MAX: Final = 65_507
_SMALL: Final = b"?"
# For an answer; the kernel answers a few of them at once and then one a second (icmp_ratelimit).
ANSWER_SECONDS_MAX: Final = 0.5
ATTEMPTS_MAX: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """The way to another node."""

    # The largest packet, as far as the kernel knows; None: it does not tell.
    mtu: int | None = None
    # Whether packets of that size arrive; None: nobody answers any.
    is_open: bool | None = None


async def look_at_path(address: str) -> Path:
    """Return what is known of the way to an address, after some tries."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    level, discover, mtu = _OPTIONS[family]
    try:
        with trio.socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.setsockopt(level, discover, _PMTUDISC_DO)
            await sock.connect((address, _DISCARD_PORT))
            is_open = None
            if await _is_answered(sock, [_SMALL] * ATTEMPTS_MAX):
                is_open = await _is_answered(sock, _large(sock, family))
            return Path(mtu=sock.getsockopt(level, mtu), is_open=is_open)
    except OSError:
        return Path()


def _large(sock: trio.socket.SocketType, family: socket.AddressFamily) -> Iterable[bytes]:
    """Yield datagrams of the size that the kernel knows, each time anew: a router may tell a smaller one."""
    level, _, mtu = _OPTIONS[family]
    for _ in range(ATTEMPTS_MAX):
        largest = sock.getsockopt(level, mtu) - _HEAD_BYTES[family]
        yield bytes(max(1, min(largest, _DATAGRAM_BYTES_MAX)))


async def _is_answered(sock: trio.socket.SocketType, datagrams: Iterable[bytes]) -> bool:
    """Send one after the other until there is an answer."""
    for datagram in datagrams:
        with trio.move_on_after(ANSWER_SECONDS_MAX):
            try:
                await sock.send(datagram)
                await sock.recv(1)
            except ConnectionRefusedError:
                return True
            except OSError:
                # Too large, as a router has said by now; the next one is smaller.
                continue
            # Somebody listens there.
            return True
    return False
