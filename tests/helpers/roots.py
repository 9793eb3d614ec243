"""A folder as the root of processes, in namespaces of their own: what they do to mounts and networks ends with them."""

import os
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.helpers.requirements import require_root, require_tool

COMMAND_SECONDS_MAX: Final = 120.0
PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# TEST-NET-1 (RFC 5737), on loopback.
ADDRESS: Final = "192.0.2.11"
# $0: the folder; $1: where in it a tmpfs is; $2: the address.  It ends, and all with it, when its input is closed.
_FIRST: Final = """\
set -e
mount --make-rprivate /
mkdir -p "$0/$1"
mount --rbind /dev "$0/dev"
mount -t proc proc "$0/proc"
mount -t tmpfs -o size=90% tmpfs "$0/$1"
ip link set lo up
ip address add "$2/24" dev lo
exec chroot "$0" /bin/sh -c 'echo up; read -r line'
"""


class Root:
    """Runs from `with` on, until the block ends; `folder` is where its files are."""

    def __init__(self, folder: Path, *, tmpfs: str = "mnt") -> None:
        require_root()
        require_tool("unshare", "nsenter", "ip")
        self.folder = folder
        self._tmpfs = tmpfs
        self._first: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._first = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--net", "--ipc", "--fork", "--kill-child",
             "sh", "-c", _FIRST, self.folder, self._tmpfs, ADDRESS],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PATH": PATH},
        )  # fmt: skip
        assert self._first.stdout is not None
        assert self._first.stdout.readline() == "up\n"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._first is not None
        self._first.communicate()

    def inside(self, *command: str | Path) -> list[str]:
        """Return a command line that runs a command inside."""
        return [*self._enter("--root", "--wd"), *map(str, command)]

    def beside(self, *command: str | Path) -> list[str]:
        """Return a command line that runs a command of this machine with what is mounted inside."""
        return [*self._enter(), *map(str, command)]

    def _enter(self, *more: str) -> list[str]:
        assert self._first is not None
        children = Path(f"/proc/{self._first.pid}/task/{self._first.pid}/children").read_text()
        target = f"--target={children.split()[0]}"
        enter = ["nsenter", target, "--mount", "--pid", "--net", "--ipc", *more]
        return [*enter, "env", "-i", f"PATH={PATH}", "HOME=/root", "LC_ALL=C.UTF-8"]

    def run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        """Return how a command ended."""
        return subprocess.run(
            self.inside(*command),
            capture_output=True, text=True, check=False, timeout=COMMAND_SECONDS_MAX,
        )  # fmt: skip

    def type(self, *command: str | Path) -> str:
        """Return what a command prints on standard output; it must not fail."""
        done = self.run(*command)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout
