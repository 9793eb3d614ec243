"""Kept memory that is damaged, foreign or in use, and folders that can't keep any: what a real daemon says, and serves.

One daemon is killed with pages in it; each test begins with copies of what it left.  No start may serve a wrong page.
"""

import contextlib
import os
import shutil
import struct
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from ramsterd.cli.output import EX_CONFIG
from ramsterd.client.nbd import HandshakeFailed, NbdClient, RequestFailed
from ramsterd.core.codec import checksum_of
from ramsterd.frontends.nbd.protocol import Errno
from ramsterd.kept import super_page
from ramsterd.kept.layout import LAYOUT_VERSION, SUPER_BYTES
from ramsterd.kept.name_log import HALF_BYTES
from ramsterd.kept.names import pool_gone
from ramsterd.kept.record_log import RecordLog, read_records
from ramsterd.kept.super_page import ATTEMPTS_MAX, create
from ramsterd.statefile.content import encode
from ramsterd.statefile.folder import read_state
from tests.helpers.kept_folders import kept_folder
from tests.helpers.made_pages import make_page
from tests.helpers.programs import run_program
from tests.helpers.requirements import require_root
from tests.system.daemons import Node, free_ports, wait_until

pytestmark = pytest.mark.slow

PAGE_BYTES: Final = 4096
PAGES: Final = 300
ERROR: Final = "ramsterd: "
GIVEN_UP: Final = "the pages of the last run are given up: "
CLUSTER: Final = """\
name = "{cluster}"
[[node]]
number = {number}
name = "{name}"
address = "127.0.0.1"
port = {port}
"""
DAEMON: Final = """\
node = "{name}"
cluster = "cluster.toml"
state_dir = "state"
[memory]
budget = "{budget}"
budget_max = "{budget}"
pages_max = 16384
tables_max = "64MiB"
keep = "{keep}"
[remote]
put_wait_seconds_max = 0.05
[[export]]
name = "swap0"
size = "4MiB"
[nbd]
socket = "{nbd}"
[control]
socket = "{control}"
"""


def page_of(index: int) -> bytes:
    return make_page(300 + index * 7 % 3000, index)


class Host:
    """The files of one node, and its memory."""

    def __init__(self, folder: Path, memory: Path) -> None:
        self.folder = folder
        self.memory = memory
        (self._port,) = free_ports(1)
        self.node = Node(1, self._port, folder / "n1.toml", folder)
        self.configure()

    def configure(
        self,
        *,
        cluster: str = "lab",
        number: int = 1,
        name: str = "n1",
        budget: str = "8MiB",
        keep: Path | None = None,
    ) -> None:
        self.memory = keep or self.memory
        facts = {"cluster": cluster, "number": number, "name": name, "port": self._port}
        (self.folder / "cluster.toml").write_text(CLUSTER.format(**facts))
        self.node.config.write_text(
            DAEMON.format(
                name=name, budget=budget, keep=self.memory, nbd=self.node.nbd,
                control=self.node.control,
            )
        )  # fmt: skip

    def file(self, name: str) -> Path:
        return self.memory / f"{name}.memory"

    @property
    def state_file(self) -> Path:
        (file,) = (self.folder / "state").glob("*state*")
        return file

    def change(self, name: str, at: int, new: bytes) -> None:
        with self.file(name).open("r+b") as file:
            file.seek(at)
            file.write(new)

    def content(self) -> dict[tuple[str, int], int]:
        """Return checksums of all that is not a hole, by file and where it begins."""
        found: dict[tuple[str, int], int] = {}
        for path in self.memory.iterdir():
            with path.open("rb") as file:
                at, end = 0, path.stat().st_size
                while at < end:
                    try:
                        at = os.lseek(file.fileno(), at, os.SEEK_DATA)
                    except OSError:  # no more of them
                        break
                    stop = os.lseek(file.fileno(), at, os.SEEK_HOLE)
                    found[path.name, at] = checksum_of(os.pread(file.fileno(), stop - at, at))
                    at = stop
        return found

    def start(self) -> None:
        self.node.start()
        self.node.wait_ready()

    def fails(self) -> str:
        """Start it, see that it ends with one line that says why, and return that line."""
        self.node.start()
        status = self.node.wait_end()
        lines = [line for line in self.node.log.splitlines() if line.startswith(ERROR)]
        assert "Traceback" not in self.node.log
        assert status == EX_CONFIG, self.node.log
        (line,) = lines
        self.node.log_path.unlink()
        return (
            line.removeprefix(ERROR)
            .replace(str(self.folder), "FOLDER")
            .replace(str(self.memory), "MEMORY")
        )

    def read_all(self) -> Counter[str]:
        """Read each page; anything but what was written, or an I/O error, fails."""
        found: Counter[str] = Counter()
        with self.node.client() as client:
            for index in range(PAGES):
                try:
                    page = client.read(index * PAGE_BYTES, PAGE_BYTES)
                except RequestFailed as failed:
                    found[Errno(failed.errno).name] += 1
                else:
                    assert page == page_of(index), f"page {index} is wrong"
                    found["right"] += 1
        return found

    def is_whole(self) -> None:
        """Start it, and see that no page is lost."""
        self.start()
        assert self.read_all() == {"right": PAGES}

    def is_closed(self) -> None:
        """The export refuses clients; it does not show zeros."""
        with pytest.raises(HandshakeFailed, match="ended with the last run of ramsterd"):
            self.node.client()
        assert self.node.status()["exports"][0]["state"] == "lost"


@pytest.fixture(scope="module")
def image() -> Iterator[tuple[Path, Path]]:
    """Yield the files and the memory of a daemon that was killed with pages in it."""
    with (
        tempfile.TemporaryDirectory(prefix="ram-", dir="/tmp") as folder,
        kept_folder() as memory,
    ):
        host = Host(Path(folder), memory)
        host.start()
        with host.node.client() as client:
            for index in range(PAGES):
                client.write(index * PAGE_BYTES, page_of(index))
        host.node.kill()
        yield Path(folder), memory


@pytest.fixture
def host(image: tuple[Path, Path], sockets: Path) -> Iterator[Host]:
    """Yield copies of these."""
    files, memory = image
    shutil.copytree(files / "state", sockets / "state")
    with kept_folder() as copied:
        for file in memory.iterdir():
            # Mostly holes.
            subprocess.run(["cp", "-a", "--sparse=always", file, copied], check=True)
        made = Host(sockets, copied)
        # As if it had always been there.
        content = replace(read_state(made.state_file), memory_folder=str(copied))
        made.state_file.write_bytes(encode(content))
        try:
            yield made
        finally:
            if made.node.process is not None:
                made.node.kill()
            print(made.node.log)


def remake(host: Host, **changes: object) -> None:
    """Write the first page anew, as if it was made for something else."""
    with host.file("super").open("r+b") as file:
        page = memoryview(bytearray(file.read()))
        header, (live, _) = super_page._read_header(page), super_page._read_live(page)
        of_live = {name: value for name, value in changes.items() if hasattr(live, name)}
        of_header = {name: value for name, value in changes.items() if hasattr(header, name)}
        new = memoryview(bytearray(SUPER_BYTES))
        create(new, replace(header, **of_header), replace(live, **of_live))  # type: ignore[arg-type]
        file.seek(0)
        file.write(new)


def test_a_killed_daemon_goes_on_with_its_pages(host: Host) -> None:
    """The control of all other tests here."""
    host.is_whole()
    assert f"{PAGES} pages of the last run, which was killed or crashed, are here" in host.node.log
    now = host.node.status()["memory"]
    assert (now["keeper"], now["attaches"], now["lost_pages"]) == (str(host.memory), 1, 0)


# What only an operator can decide: the start ends, and nothing of the memory is changed.

DISCARD: Final = "; to start without its pages, type `ramsterd run --discard-memory`"


def other_layout(host: Host) -> None:
    page = host.file("super").read_bytes()
    checked = page[:16] + struct.pack("<Q", 7) + page[24 : super_page._CHECKED_BYTES]
    host.change("super", 0, checked + super_page._CHECKSUM.pack(checksum_of(checked)))


REFUSED: Final[dict[str, tuple[Callable[[Host], object], str]]] = {
    "foreign": (
        lambda host: host.change("super", 0, b"#!python"),
        "is not of ramster: magic b'#!python', expected b'ramster\\n'",
    ),
    "older": (
        lambda host: host.change("super", 8, struct.pack("<I", LAYOUT_VERSION - 1)),
        f"is of an older release: layout {LAYOUT_VERSION - 1}, expected {LAYOUT_VERSION}",
    ),
    "newer": (
        lambda host: host.change("super", 8, struct.pack("<I", LAYOUT_VERSION + 1)),
        f"is of a newer release: layout {LAYOUT_VERSION + 1}, expected {LAYOUT_VERSION}",
    ),
    "another build": (other_layout, "is of another build: layout hash 0x7, expected 0x"),
    "another node": (
        lambda host: host.configure(number=2, name="n2"),
        "is of another node: 'n1' (number 1), expected 'n2' (number 2)",
    ),
    "another cluster": (
        lambda host: host.configure(cluster="rack7"),
        "is of another cluster: 'lab', expected 'rack7'",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_memory_that_others_may_want_ends_the_start_and_is_left_alone(
    host: Host, name: str
) -> None:
    spoil, said = REFUSED[name]
    spoil(host)
    before = host.content()
    line = host.fails()
    assert line.startswith(f"FOLDER/n1.toml: memory.keep: MEMORY: the kept memory {said}")
    assert line.endswith(DISCARD)
    assert host.content() == before


@pytest.mark.parametrize("name", ["foreign", "another cluster"])
def test_memory_that_was_refused_is_whole_once_what_was_wrong_is_put_right(
    host: Host, name: str
) -> None:
    before = host.file("super").read_bytes()
    spoil, _ = REFUSED[name]
    spoil(host)
    host.fails()
    host.change("super", 0, before)
    host.configure()
    host.is_whole()


def test_an_operator_may_give_it_up(host: Host) -> None:
    host.change("super", 0, b"#!python")
    with host.node.log_path.open("ab") as log:
        host.node.process = subprocess.Popen(
            [*host.node.program, "run", "--config", str(host.node.config), "--discard-memory"],
            stdout=log, stderr=log, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    host.node.wait_ready()
    assert f"{GIVEN_UP}an operator has discarded them" in host.node.log
    host.is_closed()


# What is of no use to anybody: the start is empty, and the exports that had pages are closed.


def contradict_names(host: Host) -> None:
    """The log drops a pool that it never made."""
    with host.file("names").open("r+b") as file:
        half = memoryview(bytearray(file.read(HALF_BYTES)))
        records, end = read_records(half, 0)
        assert records
        assert RecordLog(half, 0, end=end).append(pool_gone(4000))
        file.seek(0)
        file.write(half)


EMPTY: Final[dict[str, tuple[Callable[[Host], object], str]]] = {
    "truncated": (
        lambda host: os.truncate(host.file("super"), 100),
        "the kept memory is cut off: 100 bytes, expected 4096",
    ),
    "without its first page": (
        lambda host: host.file("super").unlink(),
        "the kept memory is cut off: no super, expected 4096 bytes",
    ),
    "never finished": (
        lambda host: host.change("super", 0, bytes(8)),
        "the kept memory was never finished: magic b'",
    ),
    "a bit of its header": (
        lambda host: host.change("super", 50, bytes([host.file("super").read_bytes()[50] ^ 4])),
        "the kept memory is damaged: a header whose checksum differs, expected an intact one",
    ),
    "both its states": (
        lambda host: host.change("super", 1024, bytes(3072)),
        "the kept memory is damaged: no whole record of how it stands, expected one or two",
    ),
    "from before a reboot": (
        lambda host: remake(host, boot_id=b"another boot ...."[:16]),
        "the kept memory is from before a reboot: boot 616e6f74",
    ),
    "of an earlier run": (
        lambda host: remake(host, memory_id=b"another memory .."[:16]),
        "the kept memory is not of the last run: memory 616e6f74",
    ),
    "a mapping missing": (
        lambda host: host.file("rows").unlink(),
        "the kept memory is not all there: 0 bytes of rows, expected ",
    ),
    "a mapping cut": (
        lambda host: os.truncate(host.file("arena"), 4096),
        "the kept memory is not all there: 4096 bytes of arena, expected ",
    ),
    "the end of three starts": (
        lambda host: remake(host, attempts=ATTEMPTS_MAX),
        "the kept memory ended too many starts: 3, expected fewer than 3",
    ),
    "names that contradict each other": (
        contradict_names,
        "the kept memory has damaged names: ",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", EMPTY)
def test_memory_of_no_use_is_given_up_loudly_and_its_exports_are_closed(
    host: Host, name: str
) -> None:
    spoil, said = EMPTY[name]
    spoil(host)
    host.start()
    host.node.wait_said(f"{GIVEN_UP}{said}")
    host.is_closed()
    now = host.node.status()["memory"]
    assert (now["attaches"], now["adopted_pages"]) == (0, 0)
    assert now["given_up"].startswith(said)


@pytest.mark.parametrize("name", ["truncated", "names that contradict each other"])
def test_what_was_given_up_is_as_any_other_memory_from_then_on(host: Host, name: str) -> None:
    spoil, _ = EMPTY[name]
    spoil(host)
    host.start()
    host.node.reset_export()
    with host.node.client() as client:
        assert client.read(0, PAGE_BYTES) == bytes(PAGE_BYTES)
        client.write(0, page_of(0))
    host.node.kill()
    host.start()
    with host.node.client() as client:
        assert client.read(0, PAGE_BYTES) == page_of(0)


# Damage behind the first page costs pages, or exports, and never makes a wrong page.


@pytest.mark.parametrize(
    "name", ["arena", "rows", "entries", "slots", "blocks", "nodes", "objects"]
)
def test_damage_costs_pages_and_never_makes_a_wrong_one(host: Host, name: str) -> None:
    content = host.file(name).read_bytes()[: 1 << 20]
    (first, *_) = (at for at in range(0, len(content), 8) if any(content[at : at + 8]))
    last = len(content.rstrip(b"\0"))
    for at in (first, (first + last) // 2, last - 1):
        host.change(name, at, bytes([content[at] ^ 0x10]))
    host.start()
    if host.node.status()["exports"][0]["state"] == "lost":
        host.is_closed()
        return
    found = host.read_all()
    assert found["right"] + found["EIO"] == PAGES
    if name in {"arena", "rows"}:
        assert 1 <= found["EIO"] <= 3


# Another budget.


@pytest.mark.parametrize("budget", ["2MiB", "32MiB"])
def test_another_budget_loses_no_page(host: Host, budget: str) -> None:
    host.configure(budget=budget)
    host.is_whole()
    host.node.stop()
    host.configure()
    host.is_whole()


# Folders that can't keep memory.


def test_a_folder_on_a_disk_is_refused(host: Host, tmp_path: Path) -> None:
    if os.path.realpath(tmp_path).startswith(("/dev/shm", "/run")):
        pytest.skip("needs a temporary folder that is not on a tmpfs")
    memory = host.memory
    # Which says that the pages are elsewhere.
    shutil.rmtree(host.folder / "state")
    host.configure(keep=tmp_path / "memory")
    line = host.fails()
    if "is not on a tmpfs" not in line:
        pytest.skip("needs a temporary folder that is not on a tmpfs")
    assert line == (
        "FOLDER/n1.toml: memory.keep: MEMORY is not on a tmpfs, so pages would be written to a disk: mount a tmpfs there"
    )
    host.configure(keep=memory)
    host.is_whole()


def test_a_folder_that_others_may_write_to_is_refused(host: Host) -> None:
    host.memory.chmod(0o770)
    assert host.fails() == (
        "FOLDER/n1.toml: memory.keep: MEMORY has mode 0770, and nobody else may have a right to it:"
        " type `chmod go-rwx MEMORY`"
    )
    host.memory.chmod(0o700)
    host.file("arena").chmod(0o604)
    assert host.fails() == (
        "FOLDER/n1.toml: memory.keep: MEMORY/arena.memory has mode 0604, and nobody else may have a right to it:"
        " type `chmod go-rwx MEMORY/arena.memory`"
    )
    host.file("arena").chmod(0o600)
    host.is_whole()


def test_another_folder_is_refused_while_the_pages_are_in_the_one_before(host: Host) -> None:
    host.start()
    host.node.kill()
    before = host.memory
    with kept_folder() as other:
        host.configure(keep=other)
        assert host.fails().startswith(
            f"FOLDER/n1.toml: memory.keep: found MEMORY, but the pages of the last run are kept by {before}, and"
            f' can\'t move to another keeper: set keep = "{before}" again; to end these pages, type'
        )
    host.configure(keep=before)
    host.is_whole()


def test_a_link_to_a_folder_is_refused(host: Host) -> None:
    memory = host.memory
    link = host.folder / "link"
    link.symlink_to(memory)
    host.configure(keep=link)
    assert "is no folder, or a link to one: name the folder itself" in host.fails()
    host.configure(keep=memory)
    host.is_whole()


@contextmanager
def small_tmpfs(folder: Path, size: str) -> Iterator[Path]:
    require_root()
    folder.mkdir()
    options = f"size={size},mode=700"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_folder_without_room_is_refused_with_how_much_is_wanted(
    host: Host, tmp_path: Path
) -> None:
    with small_tmpfs(tmp_path / "small", "4m") as folder:
        shutil.rmtree(host.folder / "state")
        host.configure(keep=folder)
        assert host.fails() == (
            "FOLDER/n1.toml: memory.keep: MEMORY has room for 4 MiB, and budget and tables may take 80 MiB:"
            " mount a tmpfs with a larger size"
        )


def fill(file: Path) -> None:
    with file.open("wb") as theirs, contextlib.suppress(OSError):
        while os.write(theirs.fileno(), bytes(1 << 20)):
            pass


def write(client: NbdClient, index: int) -> bool:
    """Return whether there is room for a page."""
    try:
        client.write(index * PAGE_BYTES, page_of(index))
    except RequestFailed as failed:
        return Errno(failed.errno) is not Errno.ENOSPC
    return True


def test_a_folder_that_others_fill_refuses_writes_and_loses_nothing(
    host: Host, tmp_path: Path
) -> None:
    with small_tmpfs(tmp_path / "shared", "96m") as folder:
        shutil.rmtree(host.folder / "state")
        host.configure(keep=folder / "memory")
        host.start()
        with host.node.client() as client:
            for index in range(20):
                client.write(index * PAGE_BYTES, page_of(index))
            fill(folder / "theirs")
            refused = [index for index in range(20, PAGES) if not write(client, index)]
            assert refused
            (folder / "theirs").unlink()
            assert all(write(client, index) for index in refused)
        host.node.kill()
        host.is_whole()
        host.node.kill()


# Two at once, and the state file.


def test_of_two_daemons_at_once_one_serves_and_the_other_says_why_not(
    host: Host, tmp_path: Path
) -> None:
    """They have a state file each, as two machines that were copied have."""
    shutil.copytree(host.folder / "state", tmp_path / "state")
    other = Host(tmp_path, host.memory).node
    both = [host.node, other]
    for node in both:
        node.start()
    try:
        ended = wait_until(
            lambda: [each for each in both if each.process is None or each.process.poll()],
            "one of two ends",
        )
        (loser,) = ended
        assert loser.wait_end() == 1
        assert (
            f"ramsterd: {host.memory}: another ramsterd uses this folder: stop it, or give each a folder"
            " of its own"
        ) in loser.log
        (winner,) = {*both} - {loser}
        winner.wait_ready()
    finally:
        for node in both:
            if node.process is not None:
                node.kill()
    host.is_whole()


def test_a_damaged_state_file_ends_the_start_and_costs_no_page(host: Host) -> None:
    before = host.state_file.read_bytes()
    host.state_file.write_bytes(before[:20])
    assert (
        "expected the file that ramsterd wrote; `ramsterd reset-state` sets it aside"
        in host.fails()
    )
    host.state_file.write_bytes(before)
    host.is_whole()


def test_after_reset_state_the_export_is_closed(host: Host) -> None:
    host.state_file.write_bytes(b"damaged")
    run_program([*host.node.program, "reset-state", "--config", str(host.node.config)], check=True)
    host.start()
    host.is_closed()


def test_a_state_file_that_somebody_removed_costs_no_page(host: Host) -> None:
    host.state_file.unlink()
    host.is_whole()


def test_a_state_folder_that_is_none_ends_the_start_and_costs_no_page(host: Host) -> None:
    """root may write anywhere, so no mode would keep it out."""
    state = host.folder / "state"
    aside = state.rename(host.folder / "aside")
    state.write_text("a file")
    line = host.fails()
    assert line.startswith("FOLDER/n1.toml: state_dir: found 'FOLDER/state'")
    state.unlink()
    aside.rename(state)
    host.is_whole()
