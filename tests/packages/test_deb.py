"""What is in the Debian package: judged without installing it.  It is built for `make test-packages`."""

import gzip
import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Final

import pytest

from packages.contents import DOCUMENTS
from packages.deb import LIBRARIES_OF_EXTENSION, REVISION, build, depends, pack
from packages.environment import EXTRAS, PREFIX, PROGRAMS, has_extension
from packages.licences import NoLicence, bundled_in
from packages.release import ROOT, release
from packages.scripts import scripts_of
from packages.units import BY_HAND, PACKAGED, PLACES, packaged
from ramsterd import __version__
from tests.docs.pages import DOCS, blocks
from tests.helpers.requirements import require_compiled, require_tool

pytestmark = pytest.mark.slow

# Extras for those who change the code.
FOR_DEVELOPERS: Final = {"test", "fuzz", "plot", "lint"}
# Of a compiled module, as importlib writes it.
CHECKED_HASH: Final = 0b11


def listing(package: Path) -> list[list[str]]:
    """Return the words of each line that dpkg-deb prints: mode, owner, size, date, time, path."""
    done = subprocess.run(
        ["dpkg-deb", "--contents", package], capture_output=True, text=True, check=True
    )
    return [line.split(maxsplit=5) for line in done.stdout.splitlines()]


def field(package: Path, name: str) -> str:
    done = subprocess.run(
        ["dpkg-deb", "--field", package, name], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.mark.long
def test_the_release_has_one_version(package: Path) -> None:
    assert release().version == __version__
    assert field(package, "Version") == f"{__version__}-{REVISION}"


@pytest.mark.long
def test_everything_is_of_root_and_nobody_else_may_change_it(package: Path) -> None:
    found = listing(package)
    assert len(found) > 1000
    assert {words[1] for words in found} == {"root/root"}
    assert {words[0] for words in found} == {"drwxr-xr-x", "-rwxr-xr-x", "-rw-r--r--", "lrwxrwxrwx"}


@pytest.mark.long
def test_all_is_at_the_places_of_the_distribution(package: Path) -> None:
    """Nothing below /etc: no file there is ours to write, and none is asked about at an upgrade."""
    paths = [words[5].split(" -> ")[0].removeprefix("./") for words in listing(package)]
    assert set(PLACES.values()) <= set(paths)
    files = [path for path in paths if path and not path.endswith("/")]
    places = (
        PREFIX,
        DOCUMENTS,
        "usr/bin/",
        "usr/lib/systemd/system/",
        "usr/lib/sysusers.d/",
        "usr/share/",
    )
    assert [path for path in files if not path.startswith(places)] == []
    assert {path for path in files if path.startswith("usr/bin/")} == {
        f"usr/bin/{name}" for name in PROGRAMS
    }


@pytest.mark.long
def test_nothing_names_a_place_of_the_machine_that_built_it(content: Path) -> None:
    places = [str(ROOT).encode(), b"ramster-deb-", b"ramster-source-"]
    found = [
        str(path.relative_to(content))
        for path in content.rglob("*")
        if path.is_file() and not path.is_symlink() and any(p in path.read_bytes() for p in places)
    ]
    assert found == []


@pytest.mark.long
def test_all_modules_are_compiled_for_where_they_will_be(content: Path) -> None:
    """The daemon's user can't write there, and would compile them at each start."""
    libraries = next((content / PREFIX / "lib").glob("python*/site-packages"))
    version = libraries.parent.name.removeprefix("python").replace(".", "")
    missing = [
        path
        for path in libraries.rglob("*.py")
        if not (path.parent / f"__pycache__/{path.stem}.cpython-{version}.pyc").exists()
    ]
    assert missing == []
    compiled = (libraries / f"ramsterd/__pycache__/daemon.cpython-{version}.pyc").read_bytes()
    assert int.from_bytes(compiled[4:8], "little") == CHECKED_HASH
    place = f"/{libraries.relative_to(content)}/ramsterd/daemon.py"
    assert place.encode() in compiled


@pytest.mark.long
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_runs_with_nothing_but_its_environment(content: Path, program: str) -> None:
    script = content / PREFIX / "bin" / program
    assert script.read_text().startswith(f"#!/{PREFIX}/bin/python3\n")
    assert (content / "usr/bin" / program).resolve() == script
    done = subprocess.run(
        [content / PREFIX / "bin/python3", script, "--version"],
        env={}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    # The machine that builds the package has what the extension needs (make).
    loops = "; inner loops: compiled" if program == "ramsterd" else ""
    assert done.stdout == f"{program}, version {__version__}{loops}\n"


@pytest.mark.long
def test_it_depends_on_the_libraries_of_the_compiled_loops(package: Path, content: Path) -> None:
    require_compiled()
    assert has_extension(content)
    assert set(LIBRARIES_OF_EXTENSION) <= set(field(package, "Depends").split(", "))
    assert not list(content.rglob("ramsterd/compiled/*.[ch]"))


def test_without_the_compiled_loops_it_depends_on_none_of_their_libraries(tmp_path: Path) -> None:
    assert not has_extension(tmp_path)
    assert not set(LIBRARIES_OF_EXTENSION) & set(depends(is_compiled=False))


def test_each_extra_of_a_node_is_inside() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(project["optional-dependencies"]) == {*EXTRAS, *FOR_DEVELOPERS}


@pytest.mark.long
def test_each_library_inside_is_there_with_its_licence(content: Path) -> None:
    libraries = next((content / PREFIX / "lib").glob("python*/site-packages"))
    bundled = bundled_in(libraries)
    assert {"trio", "msgpack", "lz4", "click", "cryptography", "zstandard"} <= {
        each.name for each in bundled
    }
    text = (content / DOCUMENTS / "copyright").read_text()
    for each in bundled:
        assert f"{each.name} {each.version}, {each.licence}" in text
        assert f"\nLicense: of-{each.name.lower()}\n {each.name} " in text
        assert each.texts
    # What is between two stanzas is an empty line, and nothing else is.
    assert all(re.match(r"[A-Z][\w-]+: ", stanza) for stanza in text.split("\n\n"))


def test_a_library_without_a_licence_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "thing-1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Name: thing\nVersion: 1\n")
    with pytest.raises(NoLicence, match="thing 1 has no text of its licence"):
        bundled_in(tmp_path)


@pytest.mark.long
def test_units_start_the_programs_of_the_package(content: Path) -> None:
    for name, place in PLACES.items():
        text, ours = (content / place).read_text(), (ROOT / "systemd" / name).read_text()
        assert text == packaged(ours)
        settings = [line for line in text.splitlines() if not line.startswith("#")]
        assert not any("/opt/" in line for line in settings)
        assert sum(line.count(PACKAGED) for line in settings) == sum(
            line.count(BY_HAND) for line in ours.splitlines() if not line.startswith("#")
        )
    assert set(PLACES) == {path.name for path in (ROOT / "systemd").iterdir()}


@pytest.mark.long
def test_documents_are_there_and_are_packed_the_same_way_each_time(content: Path) -> None:
    names = {path.name for path in (content / "usr/share/man").rglob("*.gz")}
    assert names == {"ramsterd.8.gz", "ramsterctl.8.gz", "ramsterd.toml.5.gz", "cluster.toml.5.gz"}
    for path in (content / "usr/share").rglob("*.gz"):
        packed = path.read_bytes()
        assert packed[4:8] == bytes(4), "the time of the build"
        assert gzip.decompress(packed)
    examples = {path.name for path in (content / DOCUMENTS / "examples").iterdir()}
    assert examples == {
        "ramsterd.toml", "cluster.toml", "ramster-others.conf", "kubernetes.yaml",
        "prometheus.yml", "ramster.rules.yml", "ramster.json",
    }  # fmt: skip


@pytest.mark.long
def test_the_control_files_are_accepted_by_the_shell_and_sum_up_what_is_there(
    content: Path,
) -> None:
    for name in ("postinst", "prerm", "postrm"):
        script = content / "DEBIAN" / name
        assert script.stat().st_mode & 0o777 == 0o755
        subprocess.run(["sh", "-n", script], check=True)
        assert "#include" not in script.read_text()
    require_tool("md5sum")
    subprocess.run(["md5sum", "--quiet", "--check", "DEBIAN/md5sums"], cwd=content, check=True)


@pytest.mark.long
def test_a_package_that_is_packed_again_is_the_same_file(
    package: Path, content: Path, tmp_path: Path
) -> None:
    again = tmp_path / "again"
    subprocess.run(["cp", "-a", content, again], check=True)
    subprocess.run(["rm", "-r", again / "DEBIAN"], check=True)
    # Another one's umask, and another day.
    subprocess.run(["chmod", "-R", "g+w", again], check=True)
    assert pack(again, release(), tmp_path).read_bytes() == package.read_bytes()


@pytest.mark.long
def test_the_page_names_the_files_and_repeats_the_words(package: Path) -> None:
    page = (DOCS / "packages.md").read_text()
    name, _, architecture = package.stem.rpartition("_")
    assert page.count(f"    apt-get install ./{name}_amd64.deb\n") == 2
    assert architecture
    assert page.count(f"dist/ramster-{__version__}-amd64.oci.tar") == 3
    postinst = scripts_of("debian")["postinst"]
    (said,) = [each for each in blocks(page, "") if "still runs" in each]
    version = f"{__version__}-{REVISION}"
    for line in said.splitlines():
        assert f'echo "{line.replace(version, "$version")}" >&2' in postinst


@pytest.mark.long
def test_a_package_that_is_built_again_is_the_same_file(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    before = os.umask(0o077)
    try:
        assert build(tmp_path).read_bytes() == package.read_bytes()
    finally:
        os.umask(before)
