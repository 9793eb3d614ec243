"""Which boot this is."""

from pathlib import Path
from uuid import UUID

from ramsterd.host.boot import boot_id


def test_it_is_what_the_kernel_says_and_stays() -> None:
    said = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert UUID(bytes=boot_id()) == UUID(said)
    assert boot_id() == boot_id()
