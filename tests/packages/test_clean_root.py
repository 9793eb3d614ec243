"""The package in a Debian that has nothing else: installed, started, upgraded, removed.  `make test-packages` runs these.

Long, because a Debian is made of the packages of the mirror first.
"""

import re
import subprocess
from pathlib import Path
from typing import Final

import pytest

from packages.deb import REVISION
from packages.environment import PREFIX
from ramsterd import __version__
from tests.docs.pages import DOCS, blocks
from tests.helpers.clean_root import DATA, CleanRoot, client_of, configure

pytestmark = [pytest.mark.long, pytest.mark.slow, pytest.mark.root, pytest.mark.timeout(900)]

NEXT: Final = "99.1"
HARDENED: Final = {
    "ramsterd.service": 20,
    "ramster-nbd@nbd0.service": 25,
    "ramster-swap@nbd0.service": 20,
    "ramster-own-swap.service": 25,
}


def next_release(package: Path, folder: Path, *, changes: dict[str, str] | None = None) -> Path:
    """Return the package of a later version, in which lines are added to modules, by path."""
    tree = folder / "next"
    subprocess.run(["dpkg-deb", "--raw-extract", package, tree], check=True)
    (libraries,) = (tree / PREFIX / "lib").glob("python*/site-packages")
    init = libraries / "ramsterd/__init__.py"
    init.write_text(init.read_text().replace(f'"{__version__}"', f'"{NEXT}"'))
    for path, line in (changes or {}).items():
        with (libraries / path).open("a") as module:
            module.write(f"\n{line}\n")
    control = tree / "DEBIAN/control"
    control.write_text(re.sub(r"(?m)^Version: .*$", f"Version: {NEXT}-1", control.read_text()))
    made = folder / "next.deb"
    subprocess.run(
        ["dpkg-deb", "-Zgzip", "-z1", "--root-owner-group", "--build", tree, made], check=True
    )
    return made


def test_a_new_machine_has_a_user_a_folder_and_no_daemon(root: CleanRoot, package: Path) -> None:
    root.install(package)
    assert root.type("dpkg", "--verify", "ramster") == ""
    assert root.type("stat", "-c", "%U:%G %a", "/etc/ramster") == "ramster:ramster 750\n"
    assert list((root.folder / "etc/ramster").iterdir()) == []
    assert not list((root.folder / "etc/systemd/system").rglob("*ramster*"))
    assert root.type("ramsterctl", "--version") == f"ramsterctl, version {__version__}\n"
    refused = root.run("ramsterd", "run")
    assert (refused.returncode, refused.stderr.count("\n")) == (78, 1)
    # A second time is no harm, and takes no right away that an administrator has given.
    root.type("chmod", "0755", "/etc/ramster")
    root.install(package)
    assert root.type("stat", "-c", "%a", "/etc/ramster") == "755\n"


def test_systemd_accepts_the_installed_units_without_a_word(root: CleanRoot, package: Path) -> None:
    root.install(package)
    done = root.run("systemd-analyze", "verify", "--man=no", *HARDENED, "ramster.slice")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    for unit, tenths in HARDENED.items():
        root.type("systemd-analyze", "security", "--offline=true", f"--threshold={tenths}", unit)


def test_a_cluster_is_made_with_the_package_alone(root: CleanRoot, package: Path) -> None:
    root.install(package)
    init = ("cluster", "init", "--name", "lab", "--nodes", "a=127.0.0.1", "--export", "swap0=16MiB")
    root.type("ramsterctl", *init, "--budget", "64MiB", "--out", "/root/lab")
    root.type("cp", "-a", "/root/lab/a/.", "/etc/ramster")
    # What the page says to type then; no systemd runs here.
    own, check, start = blocks((DOCS / "packages.md").read_text(), "sh")[0].splitlines()
    root.type(*own.split())
    # That what systemd makes is not there yet is no finding: the installed unit makes it.
    assert "user ramster can read these files" in root.type(*check.split())
    assert start == "systemctl enable --now ramsterd"
    root.type("systemctl", "enable", "ramsterd")


def test_an_upgrade_keeps_pages_and_clients_and_a_purge_leaves_nothing(
    root: CleanRoot, package: Path, tmp_path: Path
) -> None:
    before = root.files()
    root.install(package)
    configure(root)
    assert "is the sample" in root.run("ramsterd", "check-config").stderr
    with root.daemon() as daemon:
        with client_of(root) as client:
            client.write(0, DATA)
            done = root.install(next_release(package, tmp_path))
            assert "still runs" not in done.stderr
            assert f"version {NEXT}" in root.type("ramsterctl", "status").splitlines()[0]
            assert client.read(0, len(DATA)) == DATA, "the connection of before"
        # Nobody takes the program away under a daemon.
        refused = root.run("dpkg", "--remove", "ramster")
        assert refused.returncode != 0
        assert "ramsterd runs; stop it first: ramsterctl stop" in refused.stderr
        assert "the daemon has stopped" in root.type("ramsterctl", "stop")
        daemon.wait(30)
    with root.daemon() as daemon:
        with client_of(root) as client:
            assert client.read(0, len(DATA)) == DATA, "what the folder has kept"
        root.type("ramsterctl", "stop", "--forget")
        daemon.wait(30)
    root.type("dpkg", "--remove", "ramster")
    assert (root.folder / "etc/ramster/cluster.toml").exists()
    assert (root.folder / "var/lib/ramster").exists()
    assert not (root.folder / PREFIX).exists()
    root.type("dpkg", "--purge", "ramster")
    left = root.files() - before
    # The user stays, and what its entry was before.
    assert left <= {"etc/passwd-", "etc/group-", "etc/shadow-", "etc/gshadow-", "run/ramster"}
    assert "ramster:" in (root.folder / "etc/passwd").read_text()


def test_an_upgrade_to_a_program_that_would_not_start_leaves_the_old_one_serving(
    root: CleanRoot, package: Path, tmp_path: Path
) -> None:
    root.install(package)
    configure(root)
    with root.daemon(), client_of(root) as client:
        client.write(0, DATA)
        broken = {"ramsterd/cli/serving.py": 'raise ImportError("no such library")'}
        done = root.install(next_release(package, tmp_path, changes=broken))
        assert f"still runs with the program of version {__version__}-{REVISION}" in done.stderr
        assert "then type: ramsterctl restart" in done.stderr
        assert client.read(0, len(DATA)) == DATA
        # The old release again, and all is well.
        root.install(package)
        assert f"version {__version__}" in root.type("ramsterctl", "status").splitlines()[0]
        assert client.read(0, len(DATA)) == DATA
        root.type("ramsterctl", "stop", "--forget")


def test_a_purge_takes_links_that_were_enabled_too(root: CleanRoot, package: Path) -> None:
    root.install(package)
    root.type("systemctl", "enable", "ramsterd.service", "ramster-swap@nbd0.service")
    root.type("systemctl", "enable", "ramster-nbd@nbd0.service")
    root.type("dpkg", "--purge", "ramster")
    assert not list((root.folder / "etc/systemd/system").rglob("*ramster*"))
