"""Hosts made of network namespaces: one switch, and hosts with a port and an address each.

Nothing of it is seen outside but the names of the namespaces: the bridge and its ports are in one of their own, and
go with it.  Programs are started inside with `Network.inside`; Unix sockets know no network, so their clients may
be anywhere.

Ways to be cut off:

- `cut(host)` takes down the host's port at the switch, as a pulled cable does.
- `cut_pair(one, other)` gives both a wrong hardware address for each other, as a switch with a broken table does:
  frames leave and reach nobody, and no error tells either side.
- `reset_quietly(host, peer)` ends the host's connections to a peer, and a firewall drops every RST: the peer's ends stay.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

# TEST-NET-1 (RFC 5737).
ADDRESS = "192.0.2.{}"
HARDWARE_ADDRESS = "02:00:00:00:00:{:02x}"
NOBODY = "02:00:00:00:ff:ff"


def ip(*words: str) -> str:
    """Run ip(8), and return what it prints."""
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"
    return done.stdout


class Network:
    """A switch and hosts numbered from 1."""

    def __init__(self, hosts_count: int) -> None:
        self.prefix = f"ramster-{os.getpid()}-"
        self._switch = f"{self.prefix}switch"
        self._hosts = range(1, hosts_count + 1)

    def address(self, host: int) -> str:
        return ADDRESS.format(host)

    def inside(self, host: int) -> tuple[str, ...]:
        """Return what to put before a command; it keeps its process id."""
        return ("ip", "netns", "exec", self._name(host))

    def ends(self, host: int) -> tuple[tuple[str, str], tuple[str, str]]:
        """Return both ends of a host's cable, each as its namespace and its device there."""
        return (self._name(host), "eth0"), (self._switch, f"port{host}")

    def open(self) -> None:
        """Make everything; `close` follows, also when this fails."""
        ip("netns", "add", self._switch)
        ip("-n", self._switch, "link", "add", "bridge0", "type", "bridge")
        ip("-n", self._switch, "link", "set", "bridge0", "up")
        for host in self._hosts:
            self._add(host)

    def _add(self, host: int) -> None:
        name, port = self._name(host), f"port{host}"
        ip("netns", "add", name)
        ip(
            "-n", self._switch, "link", "add", port, "type", "veth",
            "peer", "eth0", "address", HARDWARE_ADDRESS.format(host), "netns", name,
        )  # fmt: skip
        ip("-n", self._switch, "link", "set", port, "master", "bridge0", "up")
        ip("-n", name, "address", "add", f"{self.address(host)}/24", "dev", "eth0")
        ip("-n", name, "link", "set", "lo", "up")
        ip("-n", name, "link", "set", "eth0", "up")

    def close(self) -> None:
        """Remove everything, and see that it is gone."""
        for name in self._left():
            ip("netns", "delete", name)
        assert not self._left()

    def _left(self) -> list[str]:
        # `NAME` or `NAME (id: 3)` on each line.
        names = [line.split()[0] for line in ip("netns", "list").splitlines()]
        return [name for name in names if name.startswith(self.prefix)]

    def _name(self, host: int) -> str:
        return f"{self.prefix}{host}"

    # Faults.

    def cut(self, host: int) -> None:
        ip("-n", self._switch, "link", "set", f"port{host}", "down")

    def heal(self, host: int) -> None:
        ip("-n", self._switch, "link", "set", f"port{host}", "up")

    def cut_pair(self, one: int, other: int) -> None:
        for near, far in ((one, other), (other, one)):
            ip(
                "-n", self._name(near), "neighbour", "replace", self.address(far),
                "lladdr", NOBODY, "dev", "eth0", "nud", "permanent",
            )  # fmt: skip

    def reset_quietly(self, host: int, peer: int) -> None:
        nft = ("ip", "netns", "exec", self._name(host), "nft")
        chain = "add chain inet quiet out { type filter hook output priority 0; }"
        for words in (
            "add table inet quiet",
            chain,
            "add rule inet quiet out tcp flags & rst == rst drop",
        ):
            subprocess.run([*nft, *words.split()], check=True)
        kill = ("ss", "--kill", "--tcp", "dst", self.address(peer))
        killed = subprocess.run(
            ["ip", "netns", "exec", self._name(host), *kill],
            capture_output=True, check=True, text=True,
        )  # fmt: skip
        assert "ESTAB" in killed.stdout, "there was nothing to reset"

    def heal_pair(self, one: int, other: int) -> None:
        for near, far in ((one, other), (other, one)):
            ip("-n", self._name(near), "neighbour", "delete", self.address(far), "dev", "eth0")


@contextmanager
def network(hosts_count: int, kind: type[Network] = Network) -> Iterator[Network]:
    """Make a network, and remove it at the end, whatever happens."""
    made = kind(hosts_count)
    try:
        made.open()
        yield made
    finally:
        made.close()
