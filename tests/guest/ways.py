"""The two ways in which a guest swaps to an export: QEMU's client and a virtio disk, or the guest's own nbd."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.guest.image import Image, make_image
from tests.guest.machine import HOST_ADDRESS, NETWORK, Guest, disk_of
from tests.system.daemons import Node

Boot = Callable[..., Guest]
# What the guest's program fills, about twice what it has memory for.
HOG_MEBIBYTES = 40
# Where the owner listens on the loopback of its host: that is what `HOST_ADDRESS` leads to.
NBD_PORT = 10809
# Far longer than any start of an owner.
RECONNECT_SECONDS_MAX = 300


@dataclass(frozen=True, slots=True)
class Way:
    """One of them.  So much memory the guest has, and so much of it nobody uses."""

    name: str
    has_ramsterctl: bool
    guest_mebibytes: int
    ballast_mebibytes: int

    def image(self) -> Image:
        return make_image(has_ramsterctl=self.has_ramsterctl)

    def boot(
        self,
        boot: Boot,
        owner: Node | None,
        *,
        prefix: Sequence[str] = (),
        reconnect_seconds: int = RECONNECT_SECONDS_MAX,
        **words: object,
    ) -> Guest:
        """Boot a guest that swaps to an export of a node, or has no swap, and runs its program.

        Args:
            boot: The fixture.
            owner: The node.
            prefix: See `Guest`.
            reconnect_seconds: For so long the guest waits for an owner that starts again.
            words: What differs for init, which says at its top what there is.
        """
        settings: dict[str, object] = {
            "mebibytes": HOG_MEBIBYTES,
            "ballast": self.ballast_mebibytes,
            "rounds": 0,
            "swap": int(owner is not None),
        }
        devices: list[str] = []
        if self.has_ramsterctl:
            settings["server"] = f"{HOST_ADDRESS}:{NBD_PORT}"
            settings["dead"] = reconnect_seconds
            devices = NETWORK
        elif owner is not None:
            devices = disk_of(owner, reconnect_seconds=reconnect_seconds)
        line = " ".join(f"ramster.{name}={value}" for name, value in (settings | words).items())
        return boot(self.image(), line, devices, mebibytes=self.guest_mebibytes, prefix=prefix)


# Debian's kernel does not boot with less memory.  The second has an interpreter beside the program.
VIRTIO = Way("virtio", has_ramsterctl=False, guest_mebibytes=80, ballast_mebibytes=16)
KERNEL_NBD = Way("nbd", has_ramsterctl=True, guest_mebibytes=144, ballast_mebibytes=0)
WAYS = (VIRTIO, KERNEL_NBD)
