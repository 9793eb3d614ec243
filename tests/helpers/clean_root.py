"""A small Debian of its own: packages are installed there as on a new machine, and programs run in namespaces.

It is made of the packages of this Debian's mirror, once for all tests of a run; each test has a copy.  Inside there is no
systemd that runs, as in a container or an image that is being built.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from ramsterd.client.nbd import NbdClient
from tests.helpers.requirements import require_root, require_tool
from tests.helpers.roots import Root
from tests.system.daemons import wait_until

# What clients write: every page is another one.
PAGES: Final = 256
DATA: Final = b"".join(number.to_bytes(4, "big") * 1024 for number in range(1, PAGES + 1))
# Of a machine that runs systemd; the package depends on no more than these.
INCLUDED: Final = "python3,systemd,procps"
SOURCES: Final = (
    Path("/etc/apt/sources.list.d/debian.sources"),
    Path("/etc/apt/sources.list"),
)


def make_base(folder: Path) -> None:
    """Install a small Debian into a folder, or skip the test."""
    require_root()
    require_tool("mmdebstrap", "unshare", "nsenter", "ip")
    sources = next((path for path in SOURCES if path.exists()), None)
    if sources is None:
        pytest.skip("needs the sources of apt")
    release = dict(
        line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if line
    )
    subprocess.run(
        ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={INCLUDED}",
         release["VERSION_CODENAME"].strip('"'), folder, sources],
        check=True, timeout=600,
    )  # fmt: skip


class CleanRoot(Root):
    """One copy, and its processes."""

    def install(self, package: Path) -> subprocess.CompletedProcess[str]:
        """Install a package, or upgrade to it, with what dpkg says to that."""
        target = self.folder / "root" / package.name
        target.write_bytes(package.read_bytes())
        done = self.run("dpkg", "--install", f"/root/{package.name}")
        target.unlink()
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def files(self) -> set[str]:
        """Return all files, but for what dpkg and the system note for themselves."""
        own = ("proc", "dev", "mnt", "var/lib/dpkg", "var/log", "var/cache", "etc/.pwd.lock")
        found = {str(path.relative_to(self.folder)) for path in self.folder.rglob("*")}
        return {path for path in found if not path.startswith(own)}

    @contextmanager
    def daemon(self) -> Iterator[subprocess.Popen[str]]:
        """Run the installed daemon as its user, with the folders that systemd makes for it."""
        for folder in ("/run/ramster", "/var/lib/ramster"):
            self.type("install", "-d", "-o", "ramster", "-g", "ramster", "-m", "0750", folder)
        log = self.folder.with_suffix(".log")
        user = ("setpriv", "--reuid=ramster", "--regid=ramster", "--init-groups")
        with log.open("a") as file:
            process = subprocess.Popen(
                self.inside(*user, "sh", "-c", "umask 0007; exec ramsterd run"),
                stdin=subprocess.DEVNULL, stdout=file, stderr=file, text=True,
            )  # fmt: skip
        try:
            wait_until(
                lambda: self.run("ramsterctl", "status").returncode == 0 or process.poll(),
                "the daemon answers",
                seconds_max=60.0,
            )
            assert process.poll() is None, log.read_text()
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()


def configure(root: CleanRoot) -> None:
    """Take the samples as they are, with memory that outlives the daemon in a folder on a tmpfs."""
    examples = "/usr/share/doc/ramster/examples"
    root.type("cp", f"{examples}/cluster.toml", f"{examples}/ramsterd.toml", "/etc/ramster")
    file = root.folder / "etc/ramster/ramsterd.toml"
    text = file.read_text().replace('#keep = "auto"', 'keep = "/mnt/kept"')
    file.write_text(text)
    root.type("install", "-d", "-m", "0700", "-o", "ramster", "-g", "ramster", "/mnt/kept")
    root.type("chown", "-R", "ramster:", "/etc/ramster")


def client_of(root: CleanRoot) -> NbdClient:
    """Return a client of the export of the samples."""
    return NbdClient.connect(root.folder / "run/ramster/nbd.sock", "swap0")
