"""What the kernel shows of nbd devices in /sys and /proc: size, who uses one, and what it was attached to.

A shell over small files; what is in them is judged by functions of their text.  Nothing here opens
a device: with a dead connection that would wait, and a look at a disk must not take part in its
use.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SECTOR_BYTES: Final = 512
# The kernel's minor numbers allow no more.
INDEX_MAX: Final = (1 << 20) - 1
_NAME: Final = re.compile(r"(?:/dev/)?nbd([0-9]{1,7})")
_FILE_BYTES_MAX: Final = 4 * 1024 * 1024


class BadDevice(Exception):
    """What an operator typed names no nbd device."""


def parse_device(text: str) -> int:
    """Return the number of `nbd0` or `/dev/nbd0`, or raise BadDevice."""
    match = _NAME.fullmatch(text)
    if match is None or int(match[1]) > INDEX_MAX:
        raise BadDevice(f"found {text!r}, expected a device of the kernel's nbd, such as /dev/nbd0")
    return int(match[1])


def swaps_in(text: str) -> set[str]:
    """Return the paths of /proc/swaps."""
    return {_unescape(line.split()[0]) for line in text.splitlines()[1:] if line.split()}


def mounts_in(text: str) -> dict[str, str]:
    """Return where each device number, as `43:0`, is mounted, of /proc/self/mountinfo."""
    fields = [line.split() for line in text.splitlines()]
    return {each[2]: _unescape(each[4]) for each in fields if len(each) > 4}  # noqa: PLR2004


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


@dataclass(frozen=True, slots=True)
class Devices:
    """The nbd devices of this machine."""

    sys: Path = Path("/sys")
    proc: Path = Path("/proc")

    def size(self, index: int) -> int:
        """Return the bytes of a device; 0: there is none, or it is not attached."""
        text = _read(self._folder(index) / "size").strip()
        return int(text) * SECTOR_BYTES if text.isdecimal() else 0

    def identifier(self, index: int) -> str:
        """Return what the device was attached to, in the words of who did it.

        Empty: nobody said.
        """
        return _read(self._folder(index) / "backend").strip()

    def users(self, index: int) -> list[str]:
        """Return who uses a device or a part of it, in words."""
        swaps = swaps_in(_read(self.proc / "swaps"))
        # Of process 1: a service may have a mount namespace of its own.
        mounts = mounts_in(
            _read(self.proc / "1" / "mountinfo") or _read(self.proc / "self" / "mountinfo")
        )
        users: list[str] = []
        for folder in self._parts(index):
            if f"/dev/{folder.name}" in swaps:
                users.append(f"swap on /dev/{folder.name}")
            if (number := _read(folder / "dev").strip()) in mounts:
                users.append(f"the mount {mounts[number]}")
            users += [f"/dev/{holder}" for holder in _names(folder / "holders")]
        return users

    def set_resend_seconds(self, index: int, seconds: float) -> None:
        """Set how soon what was in flight on a dead connection is sent again on the new one.

        Raises OSError.
        """
        (self._folder(index) / "queue" / "io_timeout").write_text(f"{seconds * 1000:.0f}\n")

    def _folder(self, index: int) -> Path:
        return self.sys / "block" / f"nbd{index}"

    def _parts(self, index: int) -> list[Path]:
        """Return the device and its partitions."""
        folder = self._folder(index)
        return [
            folder,
            *(folder / name for name in _names(folder) if name.startswith(f"nbd{index}p")),
        ]


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _read(path: Path) -> str:
    """Return the text of a small file, empty if it can't be read."""
    try:
        with path.open("rb") as file:
            return file.read(_FILE_BYTES_MAX).decode(errors="replace")
    except OSError:
        return ""
