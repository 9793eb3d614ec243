"""What is installed, as files below a root: the same for a package and for an image."""

from pathlib import Path
from typing import Final

from packages.environment import PROGRAMS, Install, make_environment
from packages.licences import bundled_in, copyright_text
from packages.manual.pages import pages
from packages.monitoring.files import files as monitoring_files
from packages.release import ROOT, Release
from packages.tree import compress, link, write
from packages.units import PLACES, packaged
from ramsterd.cli.completion import SHELLS, script
from ramsterd.cli.ramsterctl import main as ramsterctl

DOCUMENTS: Final = "usr/share/doc/ramster"
# Where a distribution's own packages put what completes a command.
ZSH_OF_DEBIAN: Final = "usr/share/zsh/vendor-completions/_ramsterctl"
ZSH_OF_RPM: Final = "usr/share/zsh/site-functions/_ramsterctl"
SUMMARY: Final = "pool the idle memory of a cluster"
# Lines of two paragraphs.
DESCRIPTION: Final = (
    "One daemon, ramsterd, runs on every node and offers disks over NBD.  It",
    "compresses each page that is written to such a disk, and keeps it in memory.",
    "Pages that do not fit go to the memory of other nodes, and come back when",
    "they are read.",
    "",
    "The programs have an environment of their own below /usr/lib/ramster, with",
    "all libraries.  The daemon is started when the administrator has written",
    "/etc/ramster/ramsterd.toml and enabled the unit.",
)
_SCRIPTS: Final = {
    "bash": "usr/share/bash-completion/completions/ramsterctl",
    "fish": "usr/share/fish/vendor_completions.d/ramsterctl.fish",
}


def install_all(root: Path, release: Release, *, zsh: str, install: Install | None = None) -> None:
    """Install what a package has.

    Args:
        root: A new folder for it.
        release: Of which release it is.
        zsh: Where zsh looks for completion; see `ZSH_OF_DEBIAN`.
        install: See `packages.environment.make_environment`.
    """
    root.mkdir()
    install_programs(root, install)
    _install_units(root)
    _install_documents(root, release, zsh=zsh)


def install_programs(root: Path, install: Install | None = None) -> None:
    """Make the private environment, the two commands that lead into it, and the file of licences."""
    libraries = make_environment(root, install)
    for name in PROGRAMS:
        link(root / "usr/bin" / name, f"../lib/ramster/bin/{name}")
    write(root / DOCUMENTS / "copyright", copyright_text(bundled_in(libraries)))


def _install_units(root: Path) -> None:
    """Install what systemd reads."""
    for name, place in PLACES.items():
        write(root / place, packaged((ROOT / "systemd" / name).read_text()))


def _install_documents(root: Path, release: Release, *, zsh: str) -> None:
    """Install manual pages, completion, examples, and what monitoring reads."""
    for name, text in pages(release.version, release.date).items():
        section = name.rpartition(".")[2]
        write(root / f"usr/share/man/man{section}/{name}.gz", compress(text))
    for shell in SHELLS:
        write(root / {**_SCRIPTS, "zsh": zsh}[shell], script(ramsterctl, shell) + "\n")
    install_samples(root)
    kubernetes = ROOT / "config/kubernetes/ramster.yaml"
    write(root / DOCUMENTS / "examples/kubernetes.yaml", kubernetes.read_bytes())
    for name in monitoring_files():
        path = ROOT / name
        write(root / DOCUMENTS / "examples" / path.name, path.read_bytes())
    # Alerts link to it.
    write(root / DOCUMENTS / "health.md", (ROOT / "docs/health.md").read_bytes())
    write(root / DOCUMENTS / "changelog.gz", compress((ROOT / "CHANGELOG.md").read_bytes()))


def install_samples(root: Path) -> None:
    """Install the two files, with every key explained."""
    for path in sorted((ROOT / "config/samples").glob("*.toml")):
        write(root / DOCUMENTS / "examples" / path.name, path.read_bytes())
