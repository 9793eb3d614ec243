"""`python -m packages.deb FOLDER`: build the Debian package into a folder, with dpkg-deb and nothing else of Debian.

Two builds of one tree with the same libraries are the same file: everything has one order, one owner and one time.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from packages.contents import DESCRIPTION, DOCUMENTS, SUMMARY, ZSH_OF_DEBIAN, install_all
from packages.environment import has_extension, version_of_interpreter
from packages.release import Release, release
from packages.scripts import scripts_of
from packages.tree import FOLDER_MODE, PROGRAM_MODE, below, compress, settle, write

# Ours: how often the same release was packaged.
REVISION: Final = 1
# Who packages for others says so, as all tools of Debian ask for it.
MAINTAINER_NAME: Final = "ramster"
MAINTAINER_ADDRESS: Final = "root@localhost"
# Of Debian, by their names there.
LIBRARIES_OF_EXTENSION: Final = ("liblz4-1", "libxxhash0")
# All tools of Debian read it, and it takes a tenth of the time of xz.
_COMPRESSION: Final = ("-Zgzip", "-z6")
_CONTROL: Final = """\
Package: ramster
Version: {version}
Architecture: {architecture}
Maintainer: {maintainer}
Installed-Size: {kibibytes}
Depends: {depends}
Recommends: kmod
Suggests: bash-completion, libnbd-bin, prometheus
Section: admin
Priority: optional
Description: {summary}
{description}
"""
_CHANGELOG: Final = """\
ramster ({version}) unstable; urgency=medium

  * Release {release}: see changelog.gz.

 -- {maintainer}  {date}
"""


def build(out: Path) -> Path:
    """Build the package of this tree; return its file in `out`."""
    found = release()
    with tempfile.TemporaryDirectory(prefix="ramster-deb-") as name:
        root = Path(name) / "root"
        install_all(root, found, zsh=ZSH_OF_DEBIAN)
        return pack(root, found, out)


def pack(root: Path, found: Release, out: Path) -> Path:
    """Make a package of what is below a root, and of our scripts; return its file in `out`."""
    version = f"{found.version}-{REVISION}"
    notes = _CHANGELOG.format(
        version=version,
        release=found.version,
        maintainer=maintainer(),
        date=_mail_date(found.epoch),
    )
    write(root / DOCUMENTS / "changelog.Debian.gz", compress(notes))
    settle(root, found.epoch)
    control = root / "DEBIAN"
    control.mkdir()
    control.chmod(FOLDER_MODE)
    text = control_text(version, root)
    write(control / "md5sums", _sums(root))
    write(control / "control", text)
    for name, script in scripts_of("debian").items():
        write(control / name, script, mode=PROGRAM_MODE)
    out.mkdir(parents=True, exist_ok=True)
    file = out / f"ramster_{version}_{architecture()}.deb"
    subprocess.run(
        ["dpkg-deb", *_COMPRESSION, "--root-owner-group", "--build", root, file],
        check=True, stdout=subprocess.DEVNULL,
        env={**os.environ, "SOURCE_DATE_EPOCH": str(found.epoch)},
    )  # fmt: skip
    return file


def control_text(version: str, root: Path) -> str:
    """Return the file `control`."""
    return _CONTROL.format(
        version=version,
        architecture=architecture(),
        maintainer=maintainer(),
        kibibytes=sum(-(-path.lstat().st_size // 1024) for path in _files(root)),
        depends=", ".join(depends(is_compiled=has_extension(root))),
        summary=SUMMARY,
        # A line of a field goes on with a blank, and an empty one is a dot.
        description="\n".join(f" {line or '.'}" for line in DESCRIPTION),
    )


def depends(*, is_compiled: bool) -> list[str]:
    """Return what it needs: the interpreter and the C library with which it was tried here, and a user.

    Args:
        is_compiled: The compiled loops are in it.
    """
    major, minor, _ = version_of_interpreter()
    library = (os.confstr("CS_GNU_LIBC_VERSION") or "").removeprefix("glibc ")
    return [
        f"python3 (>= {major}.{minor})",
        f"python3 (<< {major}.{minor + 1})",
        f"libc6 (>= {library})",
        "libgcc-s1",
        *(LIBRARIES_OF_EXTENSION if is_compiled else ()),
        # kill and sysctl, for the units.
        "procps",
        "systemd | systemd-sysusers",
    ]


def architecture() -> str:
    """Return how Debian calls this machine's kind."""
    done = subprocess.run(
        ["dpkg", "--print-architecture"], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def maintainer() -> str:
    """Return who packages, as an address."""
    name = os.environ.get("DEBFULLNAME", MAINTAINER_NAME)
    return f"{name} <{os.environ.get('DEBEMAIL', MAINTAINER_ADDRESS)}>"


def _mail_date(epoch: int) -> str:
    done = subprocess.run(
        ["date", "--utc", "--rfc-email", f"--date=@{epoch}"],
        capture_output=True, text=True, check=True, env={**os.environ, "LC_ALL": "C"},
    )  # fmt: skip
    return done.stdout.strip()


def _files(root: Path) -> list[Path]:
    return [path for path in below(root) if path.is_file() and not path.is_symlink()]


def _sums(root: Path) -> str:
    lines = [
        f"{hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()}  {path.relative_to(root)}\n"
        for path in _files(root)
    ]
    return "".join(lines)


if __name__ == "__main__":
    sys.stdout.write(f"{build(Path(sys.argv[1]))}\n")
