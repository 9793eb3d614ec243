"""Which boot of this machine this is (random(4))."""

from pathlib import Path
from uuid import UUID

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def boot_id() -> bytes:
    """Return 16 bytes that no other boot has."""
    return UUID(_BOOT_ID.read_text(encoding="ascii").strip()).bytes
