"""A setting made real: daemons on hosts of their own, disks, and the words that tell a guest what to swap on.

Nodes with peers are in network namespaces behind a switch, each port held to 1 Gbit/s; the guest reaches its own node
by a Unix socket.  Nothing adds latency, so a round trip takes less than on a real network.
"""

import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks import harness
from benchmarks.processes import EXPORT, MIB, Daemon, Node, cluster, processor_seconds
from benchmarks.swapping import settings
from benchmarks.swapping.disks import drive
from benchmarks.swapping.settings import Setting
from tests.system.namespaces import Network, network

RATE = "1gbit"
_SHAPING = ("tbf", "rate", RATE, "burst", "64kb", "latency", "50ms")


@dataclass(slots=True)
class SwapAreas:
    """What QEMU and the guest's first process are told, and who serves it."""

    devices: list[str] = field(default_factory=list)
    # In the order in which the kernel fills them: DEVICE,KIND, where a kind is disk, solid, ramster or a size of zram.
    areas: list[str] = field(default_factory=list)
    daemons: list[Daemon] = field(default_factory=list)

    @property
    def word(self) -> str:
        return f"ramster.swap={'+'.join(self.areas)}" if self.areas else ""

    def figures(self) -> dict[str, float]:
        """Return what the daemons did: pages that came from peers, and processor time of them all."""
        if not self.daemons:
            return {}
        fetch = self.daemons[0].status()["engine"]["fetch"]
        seconds = [processor_seconds(each.pid) for each in self.daemons]
        return {
            "fetched_pages": fetch["fetched_pages_total"],
            "daemons_seconds": round(sum(seconds), 1),
        }


def need(chosen: list[Setting]) -> None:
    """Raise Skipped where a setting can't be made."""
    if any(setting.peers for setting in chosen):
        harness.need_root()
        harness.need_tools("ip", "tc")


@contextmanager
def swap_areas(
    setting: Setting, machine_mebibytes: int, folder: Path, first_letter: str
) -> Iterator[SwapAreas]:
    """Make what a setting swaps on, until the block ends.

    Args:
        setting: Which.
        machine_mebibytes: The memory of the machine, guest and budget together.
        folder: For files and sockets; its path must be short.
        first_letter: Of the first disk that is added to the guest: b for /dev/vdb.
    """
    made = SwapAreas()
    letter = ord(first_letter)
    with ExitStack() as stack:
        if setting.is_zram:
            made.areas.append(f"zram0,{machine_mebibytes * settings.AREA_SHARE}M")
        if setting.peers is not None:
            made.daemons = stack.enter_context(nodes(setting, machine_mebibytes, folder))
            made.devices += export_drive(made.daemons[0])
            made.areas.append(f"vd{chr(letter)},ramster")
            letter += 1
        if setting.disk is not None:
            file = folder / "swap.raw"
            with file.open("wb") as raw:
                raw.truncate(machine_mebibytes * settings.AREA_SHARE * MIB)
            made.devices += drive("swap", file, setting.disk)
            made.areas.append(f"vd{chr(letter)},{'disk' if setting.disk.has_seeks else 'solid'}")
        yield made


@contextmanager
def nodes(setting: Setting, machine_mebibytes: int, folder: Path) -> Iterator[list[Daemon]]:
    """Run the machine's node and its peers."""
    remote = f"copies = {setting.copies}"
    owner = Node(
        1,
        budget_bytes=setting.budget_mebibytes(machine_mebibytes) * MIB,
        export_bytes=setting.export_mebibytes(machine_mebibytes) * MIB,
        remote=remote,
        export="swap = true",
    )
    peer_bytes = machine_mebibytes * settings.PEER_SHARE * MIB
    numbers = range(2, (setting.peers or 0) + 2)
    peers = [Node(number, budget_bytes=peer_bytes, remote=remote) for number in numbers]
    with ExitStack() as stack:
        members = [owner, *peers]
        if peers:
            hosts = stack.enter_context(shaped_network(len(members)))
            members = [_on_host(node, hosts) for node in members]
        yield stack.enter_context(cluster(folder, members))


def _on_host(node: Node, hosts: Network) -> Node:
    return replace(node, address=hosts.address(node.number), prefix=hosts.inside(node.number))


@contextmanager
def shaped_network(hosts_count: int) -> Iterator[Network]:
    """Make hosts whose links have the rate of a network, both ways."""
    with network(hosts_count) as hosts:
        for host in range(1, hosts_count + 1):
            for name, device in hosts.ends(host):
                subprocess.run(
                    ["tc", "-n", name, "qdisc", "add", "dev", device, "root", *_SHAPING],
                    check=True,
                )
        yield hosts


def export_drive(daemon: Daemon) -> list[str]:
    """Return the QEMU options that make an export the next disk of a guest; docs/swap.md explains them."""
    server = {"type": "unix", "path": str(daemon.nbd_socket)}
    disk = {
        "driver": "nbd",
        "node-name": "ramster",
        "server": server,
        "export": EXPORT,
        "discard": "unmap",
        "cache": {"direct": True},
    }
    return [
        "-blockdev", json.dumps(disk),
        "-device", "virtio-blk-pci,drive=ramster,werror=report,rerror=report",
    ]  # fmt: skip
