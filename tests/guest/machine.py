"""One QEMU, and what its serial console says: QEMU itself ends with 0 on a panic."""

import contextlib
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.guest.image import Image
from tests.system.daemons import EXPORT, Node, wait_until

# A machine that others use too may take many times as long as one that is quiet.
SECONDS_MAX = 240.0
# QEMU's own network: that is the loopback of the host.
HOST_ADDRESS = "10.0.2.2"
NETWORK = ["-netdev", "user,id=n0", "-device", "virtio-net-pci,netdev=n0,romfile="]


def disk_of(node: Node, *, reconnect_seconds: int) -> list[str]:
    """Return what makes an export of a node the first disk of a guest, over QEMU's own NBD client."""
    server = f"server.type=unix,server.path={node.nbd},export={EXPORT}"
    drive = f"driver=nbd,node-name=n0,{server},discard=unmap,cache.direct=on"
    drive += f",reconnect-delay={reconnect_seconds}"
    # By itself QEMU pauses a guest whose write finds no room.
    device = "virtio-blk-pci,drive=n0,werror=report,rerror=report"
    return ["-blockdev", drive, "-device", device]


class Guest:
    """A running guest.  Under emulation, for KVM hangs stock guests where these tests run."""

    def __init__(
        self,
        image: Image,
        console: Path,
        words: str,
        devices: Sequence[str],
        *,
        mebibytes: int,
        prefix: Sequence[str] = (),
    ) -> None:
        """Boot it.

        Args:
            image: What it boots.
            console: Where its serial console goes.
            words: For its kernel's command line.
            devices: For QEMU's.
            mebibytes: Its memory.
            prefix: What stands before QEMU's command, such as `ip netns exec NAME`.
        """
        self._console = console
        # On a busy machine the kernel finds that its timer does not tick, and does not boot.
        command = [
            *prefix, "qemu-system-x86_64", "-accel", "tcg", "-smp", "1", "-m", str(mebibytes),
            "-display", "none", "-no-reboot", "-nodefaults", "-serial", "stdio",
            "-kernel", str(image.kernel), "-initrd", str(image.initramfs),
            "-append", f"console=ttyS0 quiet panic=-1 no_timer_check {words}", *devices,
        ]  # fmt: skip
        with console.open("wb") as output:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT
            )

    @property
    def said(self) -> str:
        return self._console.read_bytes().decode(errors="replace").replace("\r", "")

    def wait_said(self, text: str) -> None:
        wait_until(
            lambda: text in self.said or self.process.poll() is not None,
            f"the guest says {text!r}",
            seconds_max=SECONDS_MAX,
        )
        assert text in self.said, self.said[-3000:]

    def tell(self, line: str) -> None:
        """Write a line to its serial console; what it said judges a guest that has ended already."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(f"{line}\n".encode())
            self.process.stdin.flush()

    def wait_end(self, *, seconds_max: float = SECONDS_MAX) -> str:
        """Return what it said in all."""
        self.process.wait(seconds_max)
        self._close_input()
        return self.said

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(10)
        self._close_input()

    def _close_input(self) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
