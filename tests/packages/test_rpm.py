"""What is in the RPM package, held against the Debian one, and what rpm does with it in a Debian of its own.

rpm runs from outside (`rpm --root`), with a database of its own; what it runs for the package runs inside.
`make test-packages` runs these.
"""

import hashlib
import os
import subprocess
from pathlib import Path
from typing import Final

import pytest

from packages.contents import DOCUMENTS, ZSH_OF_DEBIAN, ZSH_OF_RPM
from packages.environment import INTERPRETER, PREFIX, has_extension, interpreter
from packages.release import Release, release
from packages.rpm import REVISION, build, file_list, is_own, pack, requires
from packages.scripts import scripts_of
from packages.units import PLACES
from ramsterd import __version__
from tests.docs.pages import DOCS
from tests.helpers.clean_root import DATA, CleanRoot, client_of, configure
from tests.helpers.requirements import require_tool

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

NEXT: Final = "99.1"
SCRIPTLETS: Final = {
    "pre": "PREIN", "post": "POSTIN", "preun": "PREUN", "postun": "POSTUN", "posttrans": "POSTTRANS",
}  # fmt: skip
# Without a word that this is a Debian.
RPM: Final = ("rpm", "--force-debian", "--dbpath=/var/lib/rpm")
# What the package depends on is there, and not in a new database.
ALONE: Final = "--nodeps"


@pytest.fixture(scope="session")
def rpm_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the package of this tree."""
    require_tool("rpmbuild", "rpm", INTERPRETER)
    return build(tmp_path_factory.mktemp("rpm"))


@pytest.fixture
def tree(content: Path, tmp_path: Path) -> Path:
    """Return a folder with what is in the package, made of the Debian one."""
    require_tool("rpmbuild", "rpm")
    folder = tmp_path / "tree"
    subprocess.run(["cp", "-a", content, folder], check=True)
    subprocess.run(["rm", "-r", folder / "DEBIAN"], check=True)
    (folder / DOCUMENTS / "changelog.Debian.gz").unlink()
    (folder / ZSH_OF_RPM).parent.mkdir(parents=True)
    (folder / ZSH_OF_DEBIAN).rename(folder / ZSH_OF_RPM)
    (folder / ZSH_OF_DEBIAN).parent.rmdir()
    return folder


def query(package: Path, form: str) -> str:
    done = subprocess.run(
        ["rpm", "--query", "--package", "--queryformat", form, package],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout


def later(tree: Path, folder: Path, *, changes: dict[str, str] | None = None) -> Path:
    """Return the package of a later version, in which lines are added to modules, by path."""
    (libraries,) = (tree / PREFIX / "lib").glob("python*/site-packages")
    init = libraries / "ramsterd/__init__.py"
    init.write_text(init.read_text().replace(f'"{__version__}"', f'"{NEXT}"'))
    # One that is gone in it.
    (tree / DOCUMENTS / "health.md").unlink()
    for path, line in (changes or {}).items():
        with (libraries / path).open("a") as module:
            module.write(f"\n{line}\n")
    return pack(tree, Release(NEXT, release().epoch), folder / "later")


def run_rpm(root: CleanRoot, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Return how rpm ended, run beside the root with what is mounted there."""
    return subprocess.run(
        root.beside(*RPM, "--root", root.folder, *arguments),
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


def rpm(root: CleanRoot, *arguments: str | Path) -> str:
    done = run_rpm(root, *arguments)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    # That ends no installation.
    assert "scriptlet failed" not in said
    return said


def test_each_scriptlet_is_accepted_by_the_shell_with_the_shared_parts_in_it() -> None:
    found = scripts_of("scriptlets")
    assert set(found) == set(SCRIPTLETS)
    for name, text in found.items():
        subprocess.run(["sh", "-n"], input=text, text=True, check=True)
        assert "#include" not in text, name
    debian = scripts_of("debian")
    # An erase does what a removal does, and an upgrade ends as one.
    for ours, theirs, word in (
        ("post", "postinst", "systemd-sysusers ramster.conf"),
        ("posttrans", "postinst", "ramsterctl restart || {"),
        ("preun", "prerm", "systemctl stop ramster-own-swap.service ramsterd.service"),
        ("postun", "postrm", "rm -f /etc/sysctl.d/60-ramster.conf"),
    ):
        assert word in found[ours]
        assert word in debian[theirs]


def test_a_folder_of_the_system_is_not_removed_with_the_package(tmp_path: Path) -> None:
    for place in ("usr/bin", "usr/share/man/man8", "usr/lib/ramster-other", "usr/share/doc"):
        assert not is_own(place)
    for place in (PREFIX, f"{PREFIX}/bin", DOCUMENTS, str(Path(ZSH_OF_RPM).parent)):
        assert is_own(place)
    (tmp_path / "a*b").write_text("")
    with pytest.raises(AssertionError, match="read otherwise"):
        list(file_list(tmp_path))


@pytest.mark.long
def test_the_name_has_version_and_machine_and_the_page_repeats_it(rpm_package: Path) -> None:
    assert (
        rpm_package.name == f"ramster-{__version__}-{REVISION}.{query(rpm_package, '%{ARCH}')}.rpm"
    )
    name = f"ramster-{__version__}-{REVISION}.x86_64.rpm"
    assert (DOCS / "packages.md").read_text().count(name) == 2


@pytest.mark.long
def test_files_modes_and_bytes_are_those_of_the_debian_package(
    rpm_package: Path, content: Path
) -> None:
    form = "[%{FILEMODES:octal}\t%{FILEUSERNAME}:%{FILEGROUPNAME}\t%{FILENAMES}\t%{FILELINKTOS}\t%{FILEDIGESTS}\n]"
    rows = [line.split("\t") for line in query(rpm_package, form).splitlines()]
    assert {owner for _, owner, *_ in rows} == {"root:root"}
    found = {place.removeprefix("/"): (mode, link, sum_) for mode, _, place, link, sum_ in rows}
    moved = {
        ZSH_OF_DEBIAN: ZSH_OF_RPM,
        str(Path(ZSH_OF_DEBIAN).parent): str(Path(ZSH_OF_RPM).parent),
    }
    expected = {}
    for path in content.rglob("*"):
        place = str(path.relative_to(content))
        if place.startswith("DEBIAN") or place == f"{DOCUMENTS}/changelog.Debian.gz":
            continue
        mode = f"{path.lstat().st_mode:o}"
        if path.is_symlink():
            expected[place] = (mode, str(path.readlink()), "")
        elif not path.is_dir():
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            expected[moved.get(place, place)] = (mode, "", digest)
        elif is_own(moved.get(place, place)):
            expected[moved.get(place, place)] = (mode, "", "")
    assert found == expected
    assert set(PLACES.values()) <= set(found)
    # No file there is ours to write, and none is replaced by an upgrade.
    assert not any(place.startswith("etc/") for place in found)


@pytest.mark.long
def test_it_requires_the_python_and_the_c_library_of_this_machine(
    rpm_package: Path, content: Path
) -> None:
    done = subprocess.run(
        ["rpm", "--query", "--package", "--requires", rpm_package],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = {line for line in done.stdout.splitlines() if not line.startswith("rpmlib(")}
    assert found == set(requires(is_compiled=has_extension(content)))
    assert interpreter() in found
    libraries = os.confstr("CS_GNU_LIBC_VERSION")
    assert libraries is not None
    assert any(each.startswith(f"libc.so.6(GLIBC_{libraries.split()[1]})") for each in found)


@pytest.mark.long
def test_the_environment_leads_to_the_python_that_is_required(content: Path) -> None:
    """Where another version becomes the usual one, the libraries would not be found."""
    assert os.readlink(content / PREFIX / "bin" / Path(interpreter()).name) == interpreter()
    link = content / PREFIX / "bin/python3"
    assert link.is_symlink()
    assert os.readlink(link) == Path(interpreter()).name


@pytest.mark.long
def test_the_scriptlets_are_in_it(rpm_package: Path) -> None:
    for name, text in scripts_of("scriptlets").items():
        assert query(rpm_package, f"%{{{SCRIPTLETS[name]}}}").strip() == text.strip()


@pytest.mark.long
def test_a_package_that_is_packed_again_is_the_same_file(
    rpm_package: Path, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From another folder, on another day, in another place, with another umask."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    before = os.umask(0o077)
    try:
        subprocess.run(["chmod", "-R", "g+w", tree], check=True)
        assert pack(tree, release(), tmp_path).read_bytes() == rpm_package.read_bytes()
    finally:
        os.umask(before)


@pytest.mark.long
@pytest.mark.root
def test_a_new_machine_has_a_user_a_folder_and_no_daemon(
    root: CleanRoot, rpm_package: Path
) -> None:
    rpm(root, "--install", ALONE, rpm_package)
    assert rpm(root, "--verify", ALONE, "ramster") == ""
    assert root.type("stat", "-c", "%U:%G %a", "/etc/ramster") == "ramster:ramster 750\n"
    assert list((root.folder / "etc/ramster").iterdir()) == []
    assert not list((root.folder / "etc/systemd/system").rglob("*ramster*"))
    assert root.type("ramsterctl", "--version") == f"ramsterctl, version {__version__}\n"
    # A second time is no harm, and takes no right away that an administrator has given.
    root.type("chmod", "0755", "/etc/ramster")
    assert rpm(root, "--install", ALONE, "--replacepkgs", rpm_package) == ""
    assert root.type("stat", "-c", "%a", "/etc/ramster") == "755\n"


@pytest.mark.long
@pytest.mark.root
def test_an_upgrade_keeps_pages_clients_and_files_and_an_erase_leaves_no_program(
    root: CleanRoot, rpm_package: Path, tree: Path, tmp_path: Path
) -> None:
    before = root.files()
    rpm(root, "--install", ALONE, rpm_package)
    configure(root)
    config = root.folder / "etc/ramster/ramsterd.toml"
    changed = config.read_text()
    with root.daemon() as daemon:
        with client_of(root) as client:
            client.write(0, DATA)
            said = rpm(root, "--upgrade", ALONE, later(tree, tmp_path))
            assert "still runs" not in said
            assert f"version {NEXT}" in root.type("ramsterctl", "status").splitlines()[0]
            assert client.read(0, len(DATA)) == DATA, "the connection of before"
        assert rpm(root, "--query", "ramster").startswith(f"ramster-{NEXT}-")
        assert config.read_text() == changed
        assert not (root.folder / DOCUMENTS / "health.md").exists(), "it is gone in this version"
        assert not (root.folder / "run/ramster-upgraded").exists()
        # Nobody takes the program away under a daemon.
        refused = run_rpm(root, "--erase", ALONE, "ramster")
        assert refused.returncode != 0
        assert "ramsterd runs; stop it first: ramsterctl stop" in refused.stderr
        assert "the daemon has stopped" in root.type("ramsterctl", "stop", "--forget")
        daemon.wait(30)
    root.type("systemctl", "enable", "ramsterd.service", "ramster-swap@nbd0.service")
    rpm(root, "--erase", ALONE, "ramster")
    assert config.read_text() == changed
    assert (root.folder / "var/lib/ramster").exists()
    assert not list((root.folder / "etc/systemd/system").rglob("*ramster*"))
    left = {each for each in root.files() - before if not each.startswith("var/lib/rpm")}
    stays = ("etc/ramster", "var/lib/ramster", "run/ramster")
    assert {each for each in left if not each.startswith(stays)} <= {
        "etc/passwd-", "etc/group-", "etc/shadow-", "etc/gshadow-",
    }  # fmt: skip
    assert "ramster:" in (root.folder / "etc/passwd").read_text()


@pytest.mark.long
@pytest.mark.root
def test_an_upgrade_to_a_program_that_would_not_start_leaves_the_old_one_serving(
    root: CleanRoot, rpm_package: Path, tree: Path, tmp_path: Path
) -> None:
    rpm(root, "--install", ALONE, rpm_package)
    configure(root)
    with root.daemon(), client_of(root) as client:
        client.write(0, DATA)
        broken = {"ramsterd/cli/serving.py": 'raise ImportError("no such library")'}
        said = rpm(root, "--upgrade", ALONE, later(tree, tmp_path, changes=broken))
        assert f"ramsterd still runs with the program of version {__version__}" in said
        assert "then type: ramsterctl restart" in said
        assert client.read(0, len(DATA)) == DATA
        # The old release again, and all is well.
        rpm(root, "--upgrade", ALONE, "--oldpackage", rpm_package)
        assert f"version {__version__}" in root.type("ramsterctl", "status").splitlines()[0]
        assert client.read(0, len(DATA)) == DATA
        root.type("ramsterctl", "stop", "--forget")
