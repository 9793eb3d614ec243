"""Who stops before whom, by a real systemd in a guest: `make test-guest`.

The units are those of this repository, with programs in the place of ours that say when they start and stop.  The
machine's own systemd is copied into the guest: started here, it would clean up the folders of this machine.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.guest.image import cached
from tests.guest.interpreter import copy_binary
from tests.guest.ways import Boot
from tests.helpers.requirements import require_tool

UNITS = Path(__file__).parents[2] / "systemd"
LIBRARY = Path("/lib/systemd")
TARGETS = ["basic", "final", "local-fs", "multi-user", "network-online", "paths", "poweroff", "remote-fs-pre", "shutdown", "slices", "sockets", "swap", "sysinit", "timers", "umount"]  # fmt: skip

# What stands in for each unit's [Service].
SERVICES = {
    "ramsterd.service": """
ExecStartPre=/bin/note daemon starts
ExecStart=/bin/sleep 10000
ExecStopPost=/bin/note daemon stopped
Restart=on-failure
RestartSec=1
""",
    "ramster-nbd@.service": """
ExecStartPre=/bin/note helper starts
ExecStart=/bin/sleep 10000
ExecStopPost=/bin/note helper stopped
""",
    "ramster-swap@.service": """
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/note swap on
ExecStop=/bin/sh -c 'note swap goes off; sleep 2; note swap off'
""",
    "modprobe@.service": "Type=oneshot\nExecStart=/bin/true",
}

INIT = """#!/bin/busybox sh
for each in proc:/proc sysfs:/sys devtmpfs:/dev tmpfs:/run cgroup2:/sys/fs/cgroup; do
	/bin/busybox mount -t ${each%:*} none ${each#*:}
done
export PATH=/bin
exec /lib/systemd/systemd --log-target=null
"""

NOTE = """#!/bin/sh
echo "NOTE $*" >/dev/ttyS0
"""

STORY = """
units="ramster-swap@nbd0 ramster-nbd@nbd0 ramsterd"
now() {
	note now $(systemctl is-active $units)
}
settle() {
	while systemctl list-jobs --no-legend | grep -q ramster; do sleep 1; done
}
note START
systemctl start ramsterd
settle
note RESTART
systemctl restart ramsterd
settle
now
note CRASH
systemctl kill --signal=KILL ramsterd
until [ "$(systemctl show -P NRestarts ramsterd)" = 1 ] && systemctl is-active --quiet ramsterd; do
	sleep 1
done
settle
now
note HELPER
systemctl restart ramster-nbd@nbd0
now
note STOP
systemctl stop ramsterd
now
note AGAIN
systemctl start ramsterd
settle
now
note SHUTDOWN
systemctl start --no-block poweroff.target
"""


def fill(root: Path) -> None:
    """Add what a guest needs whose first process is systemd."""
    for name in ("systemd", "systemd-shutdown"):
        copy_binary(root, LIBRARY / name)
    found = shutil.which("systemctl")
    assert found is not None
    systemctl = Path(found).resolve()
    copy_binary(root, systemctl)
    if systemctl.parent != Path("/bin"):
        (root / "bin" / "systemctl").symlink_to(systemctl)
    for name in ("sh", "grep", "sleep", "true"):
        (root / "bin" / name).symlink_to("busybox")
    for folder in (
        "proc",
        "sys",
        "dev",
        "run",
        "tmp",
        "etc/systemd/system",
        "lib/systemd/system",
    ):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "etc" / "passwd").write_text("root:x:0:0:root:/:/bin/sh\n")
    (root / "etc" / "group").write_text("root:x:0:\n")
    (root / "etc" / "machine-id").write_text("")
    (root / "etc" / "os-release").write_text("ID=guest\n")
    names = [*(f"{each}.target" for each in TARGETS), "systemd-poweroff.service"]
    for name in names:
        shutil.copy(LIBRARY / "system" / name, root / "lib" / "systemd" / "system")
    write_units(root / "etc" / "systemd" / "system")
    for path, text in (("init", INIT), ("bin/note", NOTE), ("bin/story", STORY)):
        (root / path).write_text(text)
        (root / path).chmod(0o755)


def write_units(folder: Path) -> None:
    for name, service in SERVICES.items():
        source = UNITS / name
        text = source.read_text() if source.exists() else ""
        head, tail = text.partition("\n[Service]\n")[0], text.partition("\n[Install]\n")[2]
        (folder / name).write_text(f"{head}\n[Service]\n{service}\n[Install]\n{tail}")
    drop_ins = folder / "ramsterd.service.d"
    drop_ins.mkdir()
    shutil.copy(UNITS / "ramsterd-nbd.conf", drop_ins / "nbd.conf")
    wants = folder / "ramsterd.service.wants"
    wants.mkdir()
    for name in ("ramster-nbd@", "ramster-swap@"):
        assert "WantedBy=ramsterd.service" in (folder / f"{name}.service").read_text()
        (wants / f"{name}nbd0.service").symlink_to(f"../{name}.service")
    (folder / "default.target").write_text("[Unit]\nDescription=story\nWants=story.service\n")
    (folder / "story.service").write_text(
        "[Unit]\nDefaultDependencies=no\n[Service]\nEnvironment=PATH=/bin\nExecStart=/bin/sh /bin/story\n"
    )


@pytest.mark.timeout(200)
def test_swap_goes_off_before_a_stop_of_the_daemon_and_stays_on_over_its_restarts(
    boot: Boot,
) -> None:
    require_tool("systemctl")
    image = cached("systemd", UNITS.iterdir(), fill)
    said = boot(image, "", [], mebibytes=384).wait_end()
    notes = re.findall(r"NOTE (.*)", said)
    story = dict(re.findall(r"([A-Z]+)\n([^A-Z]*)", "\n".join(notes) + "\n"))
    on, off = "now active active active", "now inactive inactive inactive"
    begun = ["daemon starts", "helper starts", "swap on"]
    restarted = ["daemon stopped", "daemon starts", on]
    stopped = ["swap goes off", "swap off", "helper stopped", "daemon stopped"]
    assert {phase: lines.splitlines() for phase, lines in story.items()} == {
        "START": begun,
        "RESTART": restarted,
        "CRASH": restarted,
        "HELPER": ["helper stopped", "helper starts", on],
        "STOP": [*stopped, off],
        "AGAIN": [*begun, on],
        "SHUTDOWN": stopped,
    }
    version = subprocess.run(["systemctl", "--version"], capture_output=True, text=True, check=True)
    sys.stdout.write(f"guest: {version.stdout.splitlines()[0]}\n")
