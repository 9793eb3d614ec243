"""A line between two tun devices that hands over each packet after a while: what netem does where it is missing.

    python -m benchmarks.delay_line DEVICE DEVICE

Run by root.  It makes the devices, says "ready", and then takes lines of standard input: the seconds that a packet
needs for one way, zero at first.  Its caller moves the devices to where they belong; they are gone when it ends.

TCP on both ends is the kernel's, which sees a long round trip.  Order is kept, and nothing is lost: who sends faster
than the other takes fills the memory of this process, up to what the windows of TCP allow.
"""

import contextlib
import fcntl
import os
import selectors
import struct
import sys
import time
from collections import deque
from dataclasses import dataclass, field

TUN = "/dev/net/tun"
TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
# Large packets: each is a read and a write of this process.
MTU = 65000
PACKETS_AT_ONCE = 32


@dataclass(slots=True)
class Way:
    """One direction: what was read at the source and is not yet due at the target."""

    source: int
    target: int
    packets: deque[tuple[float, bytes]] = field(default_factory=deque)

    def take(self, now: float, delay: float) -> None:
        """Read what is there."""
        for _ in range(PACKETS_AT_ONCE):
            try:
                self.packets.append((now + delay, os.read(self.source, MTU + 100)))
            except BlockingIOError:
                return

    def hand_over(self, now: float) -> None:
        """Write what is due; a device that is down takes nothing, as a cable that is pulled."""
        while self.packets and self.packets[0][0] <= now:
            with contextlib.suppress(OSError):
                os.write(self.target, self.packets.popleft()[1])


def open_tun(name: str) -> int:
    """Make a device; it lives as long as the descriptor."""
    device = os.open(TUN, os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    return device


def main(names: list[str]) -> None:
    """Delay until the input ends."""
    one, other = map(open_tun, names)
    ways = {one: Way(one, other), other: Way(other, one)}
    selector = selectors.DefaultSelector()
    for each in (one, other, 0):
        selector.register(each, selectors.EVENT_READ)
    delay = 0.0
    print("ready", flush=True)
    while True:
        due = min((way.packets[0][0] for way in ways.values() if way.packets), default=None)
        timeout = None if due is None else max(0.0, due - time.monotonic())
        ready = [key.fd for key, _ in selector.select(timeout)]
        now = time.monotonic()
        for each in ready:
            if each in ways:
                ways[each].take(now, delay)
            else:
                line = os.read(0, 100)
                if not line:
                    return
                delay = float(line)
        for way in ways.values():
            way.hand_over(now)


if __name__ == "__main__":
    main(sys.argv[1:])
