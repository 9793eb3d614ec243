"""The swap settings that are compared, and how the memory of one machine is shared out in each.

A machine has the same memory in every setting.  Where it runs ramster, some of that is the budget of its node, and
the guest has the rest: as with zram and with the ancestor, compressed pages at home cost memory of the machine.  A node
that is alone gets a quarter; one with peers gets little, since its guest makes better use of memory than it does.
(What the daemon itself takes is not counted: it runs on the host.)  Peers have room for everything.
"""

from dataclasses import dataclass

from benchmarks.swapping.disks import HARD_DISK, SATA_SSD, Disk

# With less a guest does not boot: it can't unpack its programs.
GUEST_MEBIBYTES_MIN = 80
# Of a peer, by that of the machine: the ancestor's had 8 GB beside 1 GB.
PEER_SHARE = 8
# What one node alone is trusted to compress to, tables and all: its export is so many times its budget, since a page
# that finds no room is an error of the disk.  What does not fit goes to the disk behind.
COMPRESSION_ALONE = 2
# Swap areas that end the machine before they are full.
AREA_SHARE = 6


@dataclass(frozen=True, slots=True)
class Setting:
    """Where a guest's pages go.

    With ramster, `peers` is how many other nodes there are, the machine's own gets one of `shares` of its memory, and
    a disk is behind it: used when the export is full.
    """

    name: str
    title: str
    disk: Disk | None = None
    is_zram: bool = False
    peers: int | None = None
    copies: int = 1
    shares: int = 16

    @property
    def has_ramster(self) -> bool:
        return self.peers is not None

    @property
    def has_swap(self) -> bool:
        return self.disk is not None or self.is_zram or self.has_ramster

    def budget_mebibytes(self, machine_mebibytes: int) -> int:
        """Return what the machine's own node has; none without ramster."""
        if not self.has_ramster:
            return 0
        return min(machine_mebibytes // self.shares, machine_mebibytes - GUEST_MEBIBYTES_MIN)

    def guest_mebibytes(self, machine_mebibytes: int) -> int:
        """Return what is left for the guest."""
        return machine_mebibytes - self.budget_mebibytes(machine_mebibytes)

    def export_mebibytes(self, machine_mebibytes: int) -> int:
        """Return the size of the disk that the machine's node serves."""
        if self.peers == 0:
            return self.budget_mebibytes(machine_mebibytes) * COMPRESSION_ALONE
        return machine_mebibytes * AREA_SHARE


ENOUGH = Setting("enough", "enough memory, no swap")
SETTINGS = (
    ENOUGH,
    Setting("hdd", "hard disk", disk=HARD_DISK),
    Setting("ssd", "SATA SSD", disk=SATA_SSD),
    Setting("zram", "zram", is_zram=True),
    Setting("zcache", "zcache only", peers=0, shares=4, disk=SATA_SSD),
    Setting("ramster-1", "ramster, one peer", peers=1),
    Setting("ramster-2", "ramster, two peers, two copies", peers=2, copies=2),
)
BY_NAME = {setting.name: setting for setting in SETTINGS}
