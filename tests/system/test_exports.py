"""Exports that come, grow, shrink and go by commands: the file and the daemon have each change, or neither has."""

import subprocess

import pytest

from ramsterd.client.nbd import HandshakeFailed, NbdError
from tests.helpers.kept_folders import keep_in, kept_folder
from tests.helpers.programs import RAMSTERCTL, changed_by, environment, run_program
from tests.helpers.requirements import require_root, require_tool
from tests.system.conftest import NewCluster
from tests.system.daemons import MIB, Cluster, Node, wait_until
from tests.system.fill import RUN_BYTES, check_runs, fill_runs

PAGE = 4096
# Ends as if killed, when the file has the change and the daemon has not.
DIES_BEFORE_IT_FOLLOWS = """\
import os
from ramsterd.reconfigure import apply
apply.RunningParts.apply = lambda *_: os._exit(9)
"""
# The daemon's own view of the file system: nothing to unmount, whatever happens.
FULL_DISK = """\
mount -t tmpfs -o size=64k none "$0"
cp "$0".kept/* "$0"
dd if=/dev/zero of="$0/full" bs=4k 2>/dev/null
exec "$@"
"""


def ctl(node: Node, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_program(
        [*RAMSTERCTL, "--socket", str(node.control), *arguments],
        capture_output=True, check=False, env=environment(), text=True, timeout=90,
    )  # fmt: skip


def done(node: Node, *arguments: str) -> str:
    """Return what a command on exports prints that is carried out."""
    ended = ctl(node, "export", *arguments)
    assert (ended.returncode, ended.stderr) == (0, ""), ended
    return ended.stdout.rstrip("\n")


def refused(node: Node, *arguments: str) -> str:
    """Return why a command on exports is refused, having seen that nothing has changed."""
    before = node.config.read_bytes(), exports_of(node)
    ended = ctl(node, "export", *arguments)
    assert (ended.returncode, ended.stdout) == (1, ""), ended
    assert (node.config.read_bytes(), exports_of(node)) == before
    (line,) = ended.stderr.splitlines()
    return line.removeprefix("ramsterctl: ")


def exports_of(node: Node) -> dict[str, tuple[int, int, str]]:
    return {
        each["name"]: (each["size_bytes"], each["pages"], each["state"])
        for each in node.status()["exports"]
    }


def restart(node: Node) -> None:
    """Restart as an operator does, and see that what is there is the same."""
    before = exports_of(node)
    ended = ctl(node, "restart")
    assert ended.returncode == 0, ended
    assert exports_of(node) == before


def kinds_of(node: Node) -> list[str]:
    kinds = [each["kind"] for each in node.ask("events", after=0)["events"]]
    return [kind for kind in kinds if kind.startswith("export_")]


@pytest.fixture
def alone(new_cluster: NewCluster) -> Cluster:
    cluster = new_cluster(budgets=["8MiB"])
    cluster.start()
    return cluster


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_an_export_comes_grows_shrinks_and_goes_without_a_restart_and_each_outlives_one(
    alone: Cluster,
) -> None:
    node = alone[1]
    node.config.write_text("# of this node\n" + node.config.read_text())
    node.config.chmod(0o640)
    original = node.config.read_bytes()
    assert done(node, "add", "disk1", "--size", "1MiB", "--description", "a disk") == (
        "export disk1 is there: 1 MiB, blank"
    )
    restart(node)
    old = node.client("disk1")
    old.write(MIB - PAGE, b"x" * PAGE)
    assert done(node, "resize", "disk1", "--size", "2MiB") == (
        "export disk1 is resized: 2 MiB, used"
    )
    assert old.size == MIB
    with pytest.raises(NbdError):
        old.write(MIB, b"y" * PAGE)
    assert old.read(MIB - PAGE, PAGE) == b"x" * PAGE
    # The client goes on over a restart, with the size that it was told.
    restart(node)
    assert old.read(MIB - PAGE, PAGE) == b"x" * PAGE
    with node.client("disk1") as client:
        assert client.size == 2 * MIB
        assert client.read(MIB - PAGE, 2 * PAGE) == b"x" * PAGE + bytes(PAGE)
        client.write(2 * MIB - PAGE, b"z" * PAGE)

    told = "nothing has changed: export disk1: found 1 client connected, expected none"
    for arguments in (["remove"], ["remove", "--force"], ["resize", "--size", "1MiB", "--force"]):
        assert refused(node, arguments[0], "disk1", *arguments[1:]).startswith(told)
    old.disconnect()
    wait_alone(node)

    assert refused(node, "resize", "disk1", "--size", "1MiB") == (
        "nothing has changed: export disk1: found pages beyond 1MiB, expected none. To drop them: `ramsterctl export resize disk1 --size 1MiB --force`"
    )
    assert done(node, "resize", "disk1", "--size", "1MiB", "--force").startswith(
        "export disk1 is resized: 1 MiB"
    )
    assert exports_of(node)["disk1"] == (MIB, 1, "used")
    restart(node)
    assert done(node, "resize", "disk1", "--size", "2MiB").endswith("2 MiB, used")
    with node.client("disk1") as client:
        assert client.read(2 * MIB - PAGE, PAGE) == bytes(PAGE), "what ended stays away"
        assert client.read(MIB - PAGE, PAGE) == b"x" * PAGE
    wait_alone(node)

    assert refused(node, "remove", "disk1") == (
        "nothing has changed: export disk1: found 1 page, expected none. To drop them: `ramsterctl export remove disk1 --force`"
    )
    assert done(node, "remove", "disk1", "--force") == "export disk1 is removed"
    with pytest.raises(HandshakeFailed):
        node.client("disk1")
    restart(node)
    assert list(exports_of(node)) == ["swap0"]
    assert node.config.read_bytes() == original
    assert node.config.stat().st_mode & 0o777 == 0o640
    assert done(node, "add", "disk1", "--size", "2MiB").endswith("2 MiB, blank")
    with node.client("disk1") as client:
        assert client.read(MIB - PAGE, PAGE) == bytes(PAGE), "a new one of the name is blank"
    assert "needs a restart" not in node.log


def wait_alone(node: Node) -> None:
    """Wait until the daemon has noted that no client is there."""
    wait_until(lambda: node.status()["nbd"]["connections"] == 0, "all clients are gone")


def test_the_clients_that_people_use_see_what_there_is(alone: Cluster) -> None:
    require_tool("nbdinfo", "qemu-io")
    node = alone[1]
    uri = f"nbd+unix:///disk1?socket={node.nbd}"

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, capture_output=True, check=False, text=True, timeout=30)

    assert run("nbdinfo", "--size", uri).returncode != 0
    done(node, "add", "disk1", "--size", "1MiB")
    assert run("nbdinfo", "--size", uri).stdout == f"{MIB}\n"
    write = run("qemu-io", "-f", "raw", "-c", "write -P 0xab 960k 64k", uri)
    assert write.returncode == 0, write
    done(node, "resize", "disk1", "--size", "3MiB")
    assert run("nbdinfo", "--size", uri).stdout == f"{3 * MIB}\n"
    reads = ("read -P 0xab 960k 64k", "read -P 0 1M 2M", "write -P 0xcd 2M 1M")
    again = run("qemu-io", "-f", "raw", *(word for each in reads for word in ("-c", each)), uri)
    assert (again.returncode, "failed" in again.stdout) == (0, False), again
    wait_alone(node)
    done(node, "remove", "disk1", "--force")
    assert run("nbdinfo", "--size", uri).returncode != 0


def test_commands_are_events_and_those_that_change_nothing_are_not(alone: Cluster) -> None:
    node = alone[1]
    done(node, "add", "disk1", "--size", "1MiB")
    assert done(node, "add", "disk1", "--size", "1MiB") == (
        "export disk1 exists already: 1 MiB, blank"
    )
    done(node, "resize", "disk1", "--size", "2MiB")
    done(node, "remove", "disk1")
    assert kinds_of(node) == ["export_added", "export_resized", "export_removed"]


def test_the_export_of_clients_that_name_none_is_named_when_it_becomes_another(
    alone: Cluster,
) -> None:
    node = alone[1]
    done(node, "add", "disk1", "--size", "1MiB")
    ended = ctl(node, "export", "remove", "swap0")
    assert (ended.returncode, ended.stdout) == (0, "export swap0 is removed\n")
    assert ended.stderr == "warning: clients that name no export now get disk1\n"
    with node.client("") as client:
        assert client.size == MIB


def test_what_is_wrong_is_told_in_one_line_and_changes_nothing(alone: Cluster) -> None:
    node = alone[1]
    for arguments, told in (
        (["add", "A", "--size", "1MiB"], "the new export: name: found 'A', expected a name of"),
        (
            ["add", "a", "--size", "1000"],
            "the new export: size: found 1000, expected at least 4KiB",
        ),
        (["add", "a", "--size", "1PiB"], "the units are B, KiB, MiB, GiB, TiB"),
        (["add", "a", "--size", "65TiB"], "expected at most 64TiB"),
        (["add", "a", "--size", "1MiB", "--copies", "9"], "copies: found 9, expected 0 to 3"),
        (["add", "swap0", "--size", "1MiB"], "`ramsterctl export resize swap0 --size SIZE`"),
        (["resize", "no", "--size", "1MiB"], "no export 'no'; there are: swap0"),
        (["remove", "no"], "no export 'no'; there are: swap0"),
    ):
        assert told in refused(node, *arguments)


def test_a_file_that_was_edited_meanwhile_is_left_alone_until_the_daemon_has_read_it(
    alone: Cluster,
) -> None:
    node = alone[1]
    text = node.config.read_text()
    node.config.write_text(text.replace('"32MiB"', '"64MiB"'))
    told = refused(node, "add", "disk1", "--size", "1MiB")
    assert told == (
        f"nothing has changed: {node.config}: found changes that the daemon has not read (export.swap0.size),"
        " expected the file as the daemon has read it: type `ramsterctl config reload`, then repeat the command"
    )
    assert ctl(node, "config", "reload").returncode == 0
    done(node, "add", "disk1", "--size", "1MiB")
    assert '"64MiB"' in node.config.read_text()
    node.config.write_text("x = [\n")
    assert "bad TOML" in refused(node, "remove", "disk1")


def test_an_export_that_went_from_the_file_by_hand_can_be_ended_without_a_restart(
    alone: Cluster,
) -> None:
    node = alone[1]
    text = node.config.read_text()
    done(node, "add", "disk1", "--size", "1MiB")
    with node.client("disk1") as client:
        client.write(0, b"x" * PAGE)
    node.config.write_text(text)
    assert "needs a restart: export.disk1: there, in the file gone" in (
        ctl(node, "config", "reload").stdout
    )
    wait_alone(node)
    assert "found no export disk1" in refused(node, "resize", "disk1", "--size", "4KiB", "--force")
    assert "found 1 page, expected none" in refused(node, "remove", "disk1")
    done(node, "remove", "disk1", "--force")
    assert list(exports_of(node)) == ["swap0"]
    assert node.status()["config"]["needs_restart"] == []


def test_a_full_disk_refuses_the_change_and_both_stay_as_they_were(
    new_cluster: NewCluster,
) -> None:
    require_root()
    require_tool("unshare", "mount")
    if subprocess.run(["unshare", "-m", "true"], check=False).returncode:
        pytest.skip("needs mount namespaces (CAP_SYS_ADMIN)")
    cluster = new_cluster(budgets=["8MiB"])
    node = cluster[1]
    folder, kept = node.config.parent / "etc", node.config.parent / "etc.kept"
    folder.mkdir()
    kept.mkdir()
    for name in ("cluster.toml", node.config.name):
        (node.config.parent / name).rename(kept / name)
    text = (kept / node.config.name).read_text()
    state = node.config.parent / "state"
    (kept / node.config.name).write_text(text.replace('"n1-state"', f'"{state}"'))
    node.config = folder / node.config.name
    node.prefix = ("unshare", "-m", "sh", "-c", FULL_DISK, str(folder))
    cluster.start()

    before = exports_of(node)
    for arguments in (["add", "disk1", "--size", "1MiB"], ["remove", "swap0"]):
        ended = ctl(node, "export", *arguments)
        assert ended.returncode == 1
        assert ended.stderr == (
            f"ramsterctl: nothing has changed: {node.config}: found no space left on device,"
            " expected a file that can be replaced in its folder\n"
        )
    assert exports_of(node) == before
    with pytest.raises(HandshakeFailed):
        node.client("disk1")
    with node.client() as client:
        client.write(0, b"x" * PAGE)
    seen = subprocess.run(
        ["nsenter", "-t", str(node.pid), "-m", "cat", str(node.config)],
        check=True, capture_output=True, text=True, timeout=30,
    ).stdout  # fmt: skip
    assert "disk1" not in seen
    assert "swap0" in seen


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_daemon_that_ends_between_the_file_and_the_change_starts_as_the_file_says(
    new_cluster: NewCluster,
) -> None:
    cluster = new_cluster(budgets=["8MiB"])
    node = cluster[1]
    with kept_folder() as folder:
        keep_in(node.config, folder)
        cluster.start()
        die_in(node, "add", "disk1", "--size", "1MiB")
        assert exports_of(node)["disk1"] == (MIB, 0, "blank")
        with node.client("disk1") as client:
            client.write(0, b"x" * PAGE)
        die_in(node, "resize", "disk1", "--size", "2MiB")
        assert exports_of(node)["disk1"] == (2 * MIB, 1, "used")
        with node.client("disk1") as client:
            assert client.read(0, PAGE) == b"x" * PAGE
            client.write(2 * MIB - PAGE, b"z" * PAGE)

        # Pages beyond the new size are there still, and unreadable until they are dropped, or seen again.
        die_in(node, "resize", "disk1", "--size", "1MiB", "--force")
        assert exports_of(node)["disk1"] == (MIB, 2, "used")
        grown = ctl(node, "export", "resize", "disk1", "--size", "2MiB")
        assert "has pages beyond 1MiB, of a time when it was larger" in grown.stderr
        done(node, "resize", "disk1", "--size", "1MiB", "--force")
        assert exports_of(node)["disk1"] == (MIB, 1, "used")

        # Removed from the file, and its pages wait until somebody decides.
        die_in(node, "remove", "disk1", "--force")
        assert list(exports_of(node)) == ["swap0"]
        node.wait_said("export disk1 is not in the config any more: its 1 page stay")
        assert "`ramsterctl export reset disk1` drops them" in refused(node, "remove", "disk1")
        again = ctl(node, "export", "add", "disk1", "--size", "1MiB")
        assert "has 1 page that an earlier export of this name has left" in again.stderr
        with node.client("disk1") as client:
            assert client.read(0, PAGE) == b"x" * PAGE


def die_in(node: Node, *arguments: str) -> None:
    """Have a change end the daemon as soon as the file has it, and start again."""
    node.stop()
    program, node.program = node.program, changed_by(DIES_BEFORE_IT_FOLLOWS)
    start(node)
    ended = ctl(node, "export", *arguments)
    assert ended.returncode == 1, ended
    assert node.wait_end() == 9
    node.program = program
    start(node)


def start(node: Node) -> None:
    node.start()
    node.wait_ready()


@pytest.mark.slow
def test_pages_at_peers_end_with_the_export_or_with_the_part_that_goes(
    new_cluster: NewCluster,
) -> None:
    cluster = new_cluster(budgets=["4MiB", "64MiB"])
    owner, holder = cluster[1], cluster[2]
    cluster.start()
    # Twice the budget of the owner: the rest is at the peer.
    runs = fill_runs(owner, 8 * MIB // RUN_BYTES)
    wait_until(holder.foreign_pages, "some pages have left")
    wait_alone(owner)
    kept = len(runs) // 2
    size = str(kept * RUN_BYTES)
    assert "found pages beyond" in refused(owner, "resize", "swap0", "--size", size)
    done(owner, "resize", "swap0", "--size", size, "--force")
    assert exports_of(owner)["swap0"][:2] == (kept * RUN_BYTES, kept * RUN_BYTES // PAGE)
    check_runs(owner, runs[:kept])
    wait_alone(owner)
    done(owner, "remove", "swap0", "--force")
    wait_until(lambda: not holder.foreign_pages(), "the peer has none of them any more")
    assert exports_of(owner) == {}
    assert ctl(owner, "verify", "--invariants").returncode == 0


def test_pages_of_an_added_export_are_kept_when_the_daemon_is_killed(
    new_cluster: NewCluster,
) -> None:
    cluster = new_cluster(budgets=["8MiB"])
    node = cluster[1]
    with kept_folder() as folder:
        keep_in(node.config, folder)
        cluster.start()
        done(node, "add", "disk1", "--size", "1MiB")
        with node.client("disk1") as client:
            client.write(0, b"x" * PAGE)
        node.kill()
        start(node)
        with node.client("disk1") as client:
            assert client.read(0, PAGE) == b"x" * PAGE
        wait_alone(node)
        done(node, "remove", "disk1", "--force")
        node.kill()
        start(node)
        assert list(exports_of(node)) == ["swap0"]
        assert ctl(node, "export", "add", "disk1", "--size", "1MiB").returncode == 0
        if exports_of(node)["disk1"][2] == "lost":  # killed before the state file forgot it
            node.reset_export("disk1")
        with node.client("disk1") as client:
            assert client.read(0, PAGE) == bytes(PAGE), "what an operator has ended stays away"
