"""`python -m packages.rpm FOLDER`: build an RPM package into a folder, with rpmbuild and nothing else of such systems.

The tree of files is that of the Debian package.  Two builds of one tree with the same libraries are the same file.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from packages.contents import DESCRIPTION, DOCUMENTS, SUMMARY, ZSH_OF_RPM, install_all
from packages.environment import PREFIX, has_extension, interpreter
from packages.release import Release, release
from packages.scripts import scripts_of
from packages.tree import below, settle

# Ours: how often the same release was packaged.
REVISION: Final = 1
# Folders that are nobody else's.  All others are of the system.
OWN: Final = (PREFIX, DOCUMENTS, "usr/lib/systemd/system/ramsterd.service.d")
# And folders of packages that need not be there: the last of those that have files there removes them.
OF_MANY: Final = frozenset(
    (
        "usr/share/bash-completion",
        "usr/share/bash-completion/completions",
        "usr/share/fish",
        "usr/share/fish/vendor_completions.d",
        "usr/share/zsh",
        "usr/share/zsh/site-functions",
    )
)
# A name that means nothing else in a list of files.
_PLAIN: Final = re.compile(r"[\w./+@~-]+")
# As macros of rpmbuild: nothing is compiled, stripped or looked into, and nothing tells who builds where and when.
_MACROS: Final = {
    "__os_install_post": "%{nil}",
    "debug_package": "%{nil}",
    "_build_id_links": "none",
    "_binary_payload": "w6.gzdio",
    "_buildhost": "localhost",
    "use_source_date_epoch_as_buildtime": "1",
    "clamp_mtime_to_source_date_epoch": "1",
    "source_date_epoch_from_changelog": "0",
}
_SPEC: Final = """\
Name: ramster
Version: {version}
Release: {revision}
Summary: {summary}
License: Apache-2.0, and those of the libraries: see /usr/share/doc/ramster/copyright
AutoReqProv: no
{requires}
Recommends: kmod
Suggests: bash-completion

%description
{description}

%install
cp -a {tree}/. %{{buildroot}}

{scriptlets}
%files -f {files}
"""


def build(out: Path) -> Path:
    """Build the package of this tree; return its file in `out`."""
    found = release()
    with tempfile.TemporaryDirectory(prefix="ramster-rpm-") as name:
        root = Path(name) / "root"
        install_all(root, found, zsh=ZSH_OF_RPM)
        return pack(root, found, out)


def pack(root: Path, found: Release, out: Path) -> Path:
    """Make a package of what is below a root, and of our scriptlets; return its file in `out`."""
    settle(root, found.epoch)
    with tempfile.TemporaryDirectory(prefix="ramster-rpmbuild-") as name:
        work = Path(name)
        files, spec = work / "files", work / "ramster.spec"
        files.write_text("".join(f"{line}\n" for line in file_list(root)))
        spec.write_text(spec_text(root, found, files))
        macros = {**_MACROS, "_topdir": str(work), "_tmppath": str(work / "tmp")}
        defines = [f"--define={name} {value}" for name, value in macros.items()]
        subprocess.run(
            ["rpmbuild", "--quiet", *defines, "-bb", spec], check=True,
            env={**os.environ, "SOURCE_DATE_EPOCH": str(found.epoch), "LC_ALL": "C"},
        )  # fmt: skip
        (made,) = (work / "RPMS").glob("*/*.rpm")
        out.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copy(made, out / made.name))


def spec_text(root: Path, found: Release, files: Path) -> str:
    """Return what rpmbuild reads."""
    scriptlets = "".join(
        f"%{name}\n{text.replace('%', '%%')}\n" for name, text in scripts_of("scriptlets").items()
    )
    return _SPEC.format(
        version=found.version,
        revision=REVISION,
        summary=SUMMARY.capitalize(),
        description="\n".join(DESCRIPTION),
        requires="\n".join(
            f"Requires: {each}" for each in requires(is_compiled=has_extension(root))
        ),
        tree=root,
        files=files,
        scriptlets=scriptlets,
    )


def file_list(root: Path) -> Iterator[str]:
    """Yield a line for each file, and for each folder that an erase removes."""
    yield "%defattr(-, root, root, -)"
    for path in below(root):
        place = str(path.relative_to(root))
        assert _PLAIN.fullmatch(place), f"{place}: a name that rpmbuild would read otherwise"
        if path.is_symlink() or not path.is_dir():
            yield f"/{place}"
        elif is_own(place):
            yield f"%dir /{place}"


def is_own(place: str) -> bool:
    """Return whether the package has to remove a folder."""
    return place in OF_MANY or any(place == own or place.startswith(f"{own}/") for own in OWN)


def requires(*, is_compiled: bool) -> list[str]:
    """Return what it needs: the interpreter and the C library with which it was tried here, and what units call.

    Args:
        is_compiled: The compiled loops are in it.
    """
    library = (os.confstr("CS_GNU_LIBC_VERSION") or "").removeprefix("glibc ")
    wide = "(64bit)" if sys.maxsize > 1 << 32 else ""
    return [
        interpreter(),
        f"libc.so.6(GLIBC_{library}){wide}",
        f"libgcc_s.so.1(){wide}",
        *((f"liblz4.so.1(){wide}", f"libxxhash.so.0(){wide}") if is_compiled else ()),
        # kill and sysctl, for the units.
        "/usr/bin/kill",
        "/usr/sbin/sysctl",
        "systemd",
        # Of the scriptlets.
        "/bin/sh",
        "/usr/bin/systemd-sysusers",
    ]


if __name__ == "__main__":
    sys.stdout.write(f"{build(Path(sys.argv[1]))}\n")
