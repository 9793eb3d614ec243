"""A daemon that starts again without its pages: its clients get errors, never zeros.  Real daemons, real clients."""

import errno
import os
import signal
import subprocess
import textwrap
import urllib.request
from pathlib import Path

import pytest

from ramsterd.client import PAGE_BYTES, Client, PageLost, PoolKind, PoolLost
from ramsterd.client.nbd import ConnectionLost, HandshakeFailed, RequestFailed
from tests.helpers.programs import RAMSTERCTL, RAMSTERD, environment, run_program
from tests.helpers.requirements import require_libnbd, require_tool
from tests.system.conftest import NewCluster
from tests.system.daemons import EXPORT, MIB, Node, free_ports, wait_until
from tests.system.tmem_daemons import tmem_cluster

ENDS = [signal.SIGTERM, signal.SIGKILL]
DATA = bytes(range(256)) * (MIB // 256)


def end(node: Node, how: signal.Signals) -> None:
    if how is signal.SIGKILL:
        node.kill()
    else:
        node.stop()


def start(node: Node) -> None:
    node.start()
    node.wait_ready()


def is_lost(node: Node) -> bool:
    return [each["state"] for each in node.status()["exports"]] == ["lost"]


@pytest.mark.parametrize("how", ENDS)
def test_a_disk_that_was_written_is_closed_after_a_restart(
    new_cluster: NewCluster, how: signal.Signals
) -> None:
    cluster = new_cluster(budgets=["16MiB"])
    node = cluster[1]
    start(node)
    with node.client() as client:
        client.write(0, DATA)
    end(node, how)
    start(node)
    with pytest.raises(HandshakeFailed):
        node.client()
    assert is_lost(node)


@pytest.mark.parametrize("how", ENDS)
def test_a_qemu_that_reconnects_gets_an_error_and_no_zeros(
    new_cluster: NewCluster, how: signal.Signals
) -> None:
    require_tool("qemu-io")
    cluster = new_cluster(budgets=["16MiB"])
    node = cluster[1]
    start(node)
    options = (
        f"driver=nbd,server.type=unix,server.path={node.nbd},export={EXPORT},reconnect-delay=3"
    )
    with subprocess.Popen(
        ["qemu-io", "--image-opts", options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as qemu:
        assert qemu.stdin is not None
        assert qemu.stdout is not None
        qemu.stdin.write("write -P 0xab 0 1M\nflush\n")
        qemu.stdin.flush()
        wait_until(lambda: node.status()["exports"][0]["pages"] == 256, "qemu-io has written")
        end(node, how)
        start(node)
        qemu.stdin.write("read -P 0xab 0 1M\nread -P 0 0 1M\nquit\n")
        qemu.stdin.close()
        said = qemu.stdout.read()
        qemu.wait(30)
    assert said.count("read failed: Input/output error") == 2, said
    assert is_lost(node)
    shown = subprocess.run(
        ["qemu-io", "--image-opts", options.replace("reconnect-delay=3", "reconnect-delay=0")],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert "`ramsterctl export reset swap0` makes it blank" in shown.stderr


@pytest.mark.parametrize("how", ENDS)
def test_libnbd_is_told_why_the_disk_is_closed(
    new_cluster: NewCluster, how: signal.Signals
) -> None:
    python = require_libnbd()
    cluster = new_cluster(budgets=["16MiB"])
    node = cluster[1]
    start(node)
    write = "h.pwrite(b'x' * 4096, 0)"
    assert libnbd(python, node, write) == ("", "")
    end(node, how)
    start(node)
    said, _ = libnbd(python, node, "print(h.pread(4096, 0))")
    assert said == "nbd_connect_uri: handshake: server policy prevents NBD_OPT_GO\n"
    # It keeps the server's own words for those who ask.
    _, debug = libnbd(python, node, "pass", LIBNBD_DEBUG="1")
    assert "`ramsterctl export reset swap0` makes it blank" in debug


def libnbd(python: str, node: Node, action: str, **variables: str) -> tuple[str, str]:
    """Connect with libnbd and do something; return what it prints, and its debug output."""
    program = f"""
    import nbd
    h = nbd.NBD()
    try:
        h.connect_uri({node.uri!r})
        {action}
    except nbd.Error as error:
        print(error)
    """
    ended = subprocess.run(
        [python, "-c", textwrap.dedent(program)],
        capture_output=True,
        check=True,
        env={**environment(), **variables},
        text=True,
        timeout=30,
    )
    return ended.stdout, ended.stderr


def ctl(node: Node, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_program(
        [*RAMSTERCTL, "--socket", str(node.control), *arguments],
        capture_output=True,
        check=False,
        env=environment(),
        text=True,
        timeout=30,
    )


def test_what_was_lost_is_told_everywhere_until_it_is_reset(new_cluster: NewCluster) -> None:
    (port,) = free_ports(1)
    cluster = new_cluster(budgets=["16MiB"], more=f'[metrics]\nlisten = "127.0.0.1:{port}"')
    node = cluster[1]
    start(node)
    with node.client() as client:
        client.write(0, DATA)
        node.send_signal(signal.SIGTERM)
        assert node.wait_end() == 0
    node.wait_said(
        "node n1 still owns 256 pages (1 client connected): these pages are lost when ramsterd stops"
    )
    for _ in range(2):  # a second restart changes nothing
        start(node)
        line = "LOST           export swap0: its pages ended with an earlier run"
        for command in ("status", "nodes", "exports"):
            assert line in ctl(node, command).stdout
        node.wait_said("it stays closed until `ramsterctl export reset swap0` makes it blank")
        assert 'ramster_export_lost{export="swap0"} 1.0' in scrape(port)
        node.stop()
    start(node)
    assert ctl(node, "export", "reset", "swap1").returncode == 1
    done = ctl(node, "export", "reset", "swap0")
    assert (done.returncode, done.stdout) == (0, "export swap0 is blank\n")
    with node.client() as client:
        assert client.read(0, MIB) == bytes(MIB)
        client.write(0, DATA)
        assert client.read(0, MIB) == DATA
    assert 'ramster_export_lost{export="swap0"} 0.0' in scrape(port)
    assert "LOST" not in ctl(node, "status").stdout
    assert ctl(node, "export", "reset", "swap0").returncode == 1
    with node.client() as client:
        assert client.read(0, MIB) == DATA


def scrape(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text: str = answer.read().decode()
    return text


def test_a_disk_emptied_by_a_trim_or_never_written_opens_again(new_cluster: NewCluster) -> None:
    cluster = new_cluster(budgets=["16MiB"])
    node = cluster[1]
    start(node)
    with node.client() as client:
        assert client.read(0, 4096) == bytes(4096)
    node.kill()
    start(node)
    with node.client() as client:
        client.write(0, DATA)
        client.trim(0, client.size)
        wait_until(lambda: node.status()["exports"][0]["state"] == "blank", "the disk is blank")
        client.write(0, DATA)
        client.trim(0, client.size)
    node.stop()  # at once: the stop itself looks once more
    start(node)
    with node.client() as client:
        assert client.read(0, MIB) == bytes(MIB)


def test_a_scratch_disk_starts_blank_by_itself(new_cluster: NewCluster) -> None:
    more = '[[export]]\nname = "scratch"\nsize = "8MiB"\non_loss = "blank"'
    cluster = new_cluster(budgets=["16MiB"], more=more)
    node = cluster[1]
    start(node)
    for name in ("scratch", EXPORT):
        with node.client(name) as client:
            client.write(0, DATA)
    node.kill()
    start(node)
    with node.client("scratch") as client:
        assert client.read(0, MIB) == bytes(MIB)
    with pytest.raises(HandshakeFailed):
        node.client()
    node.wait_said('is blank (on_loss = "blank")')


def test_an_export_that_was_renamed_or_resized_is_still_lost_under_its_name(
    new_cluster: NewCluster,
) -> None:
    cluster = new_cluster(budgets=["16MiB"])
    node = cluster[1]
    start(node)
    with node.client() as client:
        client.write(0, DATA)
    node.kill()
    text = node.config.read_text()
    node.config.write_text(text.replace(f'name = "{EXPORT}"', 'name = "other"'))
    start(node)
    with node.client("other") as client:
        assert client.read(0, 4096) == bytes(4096)
    node.wait_said("export swap0 ended")
    node.wait_said("it is not in the config; `ramsterctl export reset swap0` forgets it")
    node.stop()
    node.config.write_text(text.replace('size = "32MiB"', 'size = "64KiB"'))
    start(node)
    assert is_lost(node)
    with pytest.raises(HandshakeFailed):
        node.client()
    assert ctl(node, "export", "reset", "swap0").returncode == 0
    with node.client() as client:
        assert client.read(0, 4096) == bytes(4096)


def test_after_a_roll_no_disk_reads_as_zeros(new_cluster: NewCluster) -> None:
    """Drain, stop, start, uncordon on each node: a drain saves what others have there, not what a node owns."""
    cluster = new_cluster(budgets=["16MiB"] * 3)
    cluster.start()
    clients = {}
    for node in cluster:
        clients[node.number] = node.client()
        clients[node.number].write(0, DATA)
    for node in cluster:
        drained = ctl(node, "node", "drain", node.name, "--deadline", "30s")
        assert drained.returncode == 0, drained.stderr
        ending = f"node {node.name} still owns 256 pages (1 client connected): these pages are lost when ramsterd stops"
        assert f"warning: {ending}" in drained.stderr
        node.wait_said(f"no pages of other nodes are left here; {ending}")
        node.send_signal(signal.SIGTERM)
        assert node.wait_end() == 0
        start(node)
        cluster.wait_linked()
        assert ctl(node, "node", "uncordon", node.name).returncode == 0
    for node in cluster:
        assert is_lost(node)
        with pytest.raises(HandshakeFailed):
            node.client()
        with pytest.raises(ConnectionLost), clients[node.number] as client:
            client.read(0, 4096)


def test_two_daemons_do_not_share_a_state_dir(new_cluster: NewCluster) -> None:
    cluster = new_cluster(budgets=["4MiB"] * 2)
    for node in cluster:
        text = node.config.read_text().replace(f"{node.name}-state", "state")
        node.config.write_text(text)
    start(cluster[1])
    done = run_daemon(cluster[2])
    assert done.returncode == 1
    state = cluster[1].config.parent / "state"
    first, *_, last = done.stderr.splitlines()
    assert " starts as node " in first
    assert last.startswith(f"ramsterd: {state}: another ramsterd uses this state_dir: process ")


def test_a_damaged_state_file_keeps_the_daemon_from_starting_until_it_is_reset(
    new_cluster: NewCluster,
) -> None:
    cluster = new_cluster(budgets=["4MiB"])
    node = cluster[1]
    state = node.config.parent / "n1-state"
    start(node)
    with node.client() as client:
        client.write(0, DATA)
    node.stop()
    file = state / "state.json"
    file.write_text(file.read_text().replace('"swap0"', '"swap1"'))
    done = run_daemon(node)
    assert done.returncode == 78
    last = done.stderr.splitlines()[-1]
    assert "found a damaged state file (a checksum that differs)" in last
    reset = run_daemon(node, "reset-state")
    assert reset.returncode == 0, reset.stderr
    start(node)
    assert is_lost(node)


def run_daemon(node: Node, command: str = "run") -> subprocess.CompletedProcess[str]:
    return run_program(
        [*RAMSTERD, command, "--config", str(node.config)],
        capture_output=True,
        check=False,
        env=environment(),
        text=True,
        timeout=30,
    )


def test_a_first_write_fails_while_the_state_file_cant_be_written(new_cluster: NewCluster) -> None:
    """The folder goes away while the daemon runs, as a disk does; reads go on."""
    cluster = new_cluster(budgets=["16MiB"])
    node = cluster[1]
    start(node)
    state = node.config.parent / "n1-state"
    state.rename(state.with_name("away"))
    with node.client() as client:
        with pytest.raises(RequestFailed) as failed:
            client.write(0, DATA[:4096])
        assert failed.value.errno == errno.EIO
        assert client.read(0, 4096) == bytes(4096)
        node.wait_said("the state file can't be written")
        assert "STATE FILE     not written" in ctl(node, "status").stdout
        state.with_name("away").rename(state)
        wait_until(lambda: not node.status()["state_file"]["problem"], "it is written again")
        client.write(0, DATA[:4096])
        assert client.read(0, 4096) == DATA[:4096]


@pytest.mark.parametrize("how", ENDS)
def test_a_named_persistent_pool_is_lost_after_a_restart(
    sockets: Path, how: signal.Signals
) -> None:
    page = b"p" * PAGE_BYTES
    with tmem_cluster(sockets) as (daemon,):
        with Client(daemon.tmem) as client:
            client.new_pool(PoolKind.PERSISTENT, name="spill").put(b"o", 0, page)
            client.new_pool(PoolKind.EPHEMERAL, name="cache").put(b"o", 0, page)
        daemon.stop(how)
        daemon.start()
        with Client(daemon.tmem) as client:
            assert client.new_pool(PoolKind.EPHEMERAL, name="cache").get(b"o", 0) == [None]
            pool = client.new_pool(PoolKind.PERSISTENT, name="spill")
            with pytest.raises(PageLost) as lost:
                pool.get(b"o", 0, 2)
            assert lost.value.indexes == (0, 1)
            with pytest.raises(PoolLost):
                pool.put(b"o", 0, page)
            pool.destroy()
            pool = client.new_pool(PoolKind.PERSISTENT, name="spill")
            assert pool.get(b"o", 0) == [None]
            pool.put(b"o", 0, page)
        daemon.stop(how)
        daemon.start()
        losses = daemon.ask("status")["state_file"]["lost"]
        assert [(loss["name"], loss["user"]) for loss in losses] == [("spill", os.geteuid())]
        reset = ["pool", "reset", str(os.geteuid()), "spill"]
        run_program(
            [*RAMSTERCTL, "--socket", str(daemon.control), *reset], check=True, env=environment()
        )
        with Client(daemon.tmem) as client:
            assert client.new_pool(PoolKind.PERSISTENT, name="spill").get(b"o", 0) == [None]
