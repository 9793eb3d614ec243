"""Swap goes on and off by its unit, under a real systemd, on a loop device in the place of an export's."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.requirements import require_root, require_tool
from tests.system.private_systemd import PrivateSystemd

UNITS = Path(__file__).parents[2] / "systemd"
SWAP_BYTES = 1 << 20
# The check of the machine, played: it reads files of the daemon, and finds an error that the operator overrules.
CHECK = """\
#!/bin/sh
cat "{folder}/of-the-daemon" >"{folder}/read"
exit 2
"""


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Path]:
    """Return a small blank disk."""
    require_root()
    require_tool("losetup", "unshare")
    image = tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(SWAP_BYTES)
    done = subprocess.run(
        ["losetup", "--find", "--show", image], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"needs loop devices: {done.stderr}")
    found = Path(done.stdout.strip())
    yield found
    subprocess.run(["losetup", "--detach", found], check=True)


def swapped_to() -> list[str]:
    """Return the names of all swap areas, as who is outside sees them."""
    return [line.split()[0] for line in Path("/proc/swaps").read_text().splitlines()[1:]]


def unit(folder: Path) -> str:
    """Return the unit, with a folder in the place of those of the daemon.

    Inside namespaces systemd can't make all the mounts that protect the machine.  It can make mounts of the unit's own.
    """
    text = (UNITS / "ramster-swap@.service").read_text()
    assert "\nPrivateMounts=yes\n" in text
    text = re.sub(r"^(Protect\w+|PrivateTmp)=.*\n", "", text, flags=re.MULTILINE)
    return text.replace("/opt/ramster/bin", str(folder)).replace("/etc/ramster", str(folder))


def test_swap_is_on_under_the_name_of_its_device_and_goes_off(device: Path, tmp_path: Path) -> None:
    """The name in /proc/swaps is the one that swapoff and systemd look for: that of everybody's /dev."""
    check = tmp_path / "ramsterctl"
    check.write_text(CHECK.format(folder=tmp_path))
    check.chmod(0o755)
    secret = tmp_path / "of-the-daemon"
    secret.write_text("yes")
    secret.chmod(0o600)
    subprocess.run(["chown", "1:1", secret], check=True)
    (tmp_path / f"{device.name}.env").write_text("OPTIONS=--force\n")
    name = f"ramster-swap@{device.name}.service"
    with PrivateSystemd(tmp_path, {"ramster-swap@.service": unit(tmp_path)}, [tmp_path]) as systemd:
        try:
            systemd.ctl("start", name)
            assert str(device) in swapped_to()
            systemd.ctl("stop", name)
            assert systemd.show(name, "Result") == "success"
            assert not any(device.name in each for each in swapped_to())
        finally:
            subprocess.run(["swapoff", device], capture_output=True, check=False)
    assert (tmp_path / "read").read_text() == "yes"
