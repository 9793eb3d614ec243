"""One QEMU, and what its serial console says: QEMU itself ends with 0 on a panic."""

import signal
import subprocess
from pathlib import Path

from tests.guest.image import Image
from tests.system.daemons import wait_until

SECONDS_MAX = 110.0


class Guest:
    """A running guest.  Under emulation, for KVM hangs stock guests where these tests run."""

    def __init__(
        self, image: Image, console: Path, words: str, devices: list[str], *, mebibytes: int
    ) -> None:
        """Boot it.

        Args:
            image: What it boots.
            console: Where its serial console goes.
            words: For its kernel's command line.
            devices: For QEMU's.
            mebibytes: Its memory.
        """
        self._console = console
        command = [
            "qemu-system-x86_64", "-accel", "tcg", "-smp", "1", "-m", str(mebibytes),
            "-display", "none", "-no-reboot", "-nodefaults", "-serial", "stdio",
            "-kernel", str(image.kernel), "-initrd", str(image.initramfs),
            "-append", f"console=ttyS0 quiet panic=-1 {words}", *devices,
        ]  # fmt: skip
        with console.open("wb") as output:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
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

    def wait_end(self) -> str:
        """Return what it said in all."""
        self.process.wait(SECONDS_MAX)
        return self.said

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(10)
