"""Swap with one copy of each page: its only holder is away for a while, and no request fails."""

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ramsterd.client.nbd import ConnectionLost, NbdClient
from ramsterd.frontends.nbd.protocol import Command
from tests.helpers.kept_folders import keep_in, kept_folder
from tests.helpers.programs import RAMSTERCTL, environment, run_program
from tests.system.arena import PAGE, marked_page
from tests.system.conftest import NewCluster
from tests.system.daemons import EXPORT, Cluster, Node, wait_until
from tests.system.fill import fill_marked
from tests.system.reads import ask_for, take_answers

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

PAGES = 3000
# More than `fetch_seconds_max` and `put_wait_seconds_max` of these clusters: all that waits outwaits.
AWAY_SECONDS = 20.0
ASKED = 64
DISK = """\
[[export]]
name = "disk"
size = "1MiB"
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    with kept_folder() as made:
        yield made


@pytest.fixture
def pair(new_cluster: NewCluster, folder: Path) -> Cluster:
    """Return an owner with swap and a disk beside it, and the one peer that has most of its pages."""
    # The disk fits where the owner drops the pages that it has copies of.
    cluster = new_cluster(budgets=["4MiB", "40MiB"], export="24MiB", more=DISK)
    for node in cluster:
        keep_in(node.config, folder / node.name)
        text = node.config.read_text()
        node.config.write_text(
            text.replace(f'name = "{EXPORT}"\n', f'name = "{EXPORT}"\nswap = true\n')
        )
    cluster.start()
    fill_marked(cluster[1], PAGES)
    return cluster


def patient_client(node: Node) -> NbdClient:
    return NbdClient.connect(node.nbd, EXPORT, silence_seconds_max=120.0)


def the_wait(owner: Node) -> Any:
    waits = owner.status()["pager"]["unreachable_waits"]
    return waits[0] if waits else None


def wait_long(owner: Node, seconds: float) -> Any:
    def is_long() -> Any:
        wait = the_wait(owner)
        return wait if wait and wait["seconds"] >= seconds else None

    return wait_until(is_long, f"requests wait for {seconds} s", seconds_max=seconds + 30)


def ctl(node: Node, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_program(
        [*RAMSTERCTL, "--socket", str(node.control), *arguments],
        capture_output=True, text=True, env=environment(), timeout=60, check=False,
    )  # fmt: skip


def go_away(holder: Node, how: signal.Signals) -> None:
    if how is signal.SIGKILL:
        holder.kill()
    else:
        holder.send_signal(how)


def come_back(holder: Node, how: signal.Signals) -> None:
    if how is signal.SIGKILL:
        holder.start()
        holder.wait_ready()
    else:
        holder.send_signal(signal.SIGCONT)


def check_all(owner: Node, written: range) -> None:
    """Each page is what was written last; none was answered with an error."""
    with patient_client(owner) as client:
        for start in range(0, PAGES, 256):
            asked = ask_for(client, range(start, min(start + 256, PAGES)))
            for index, answer in take_answers(client, asked).items():
                assert answer == marked_page(index + PAGES * (index in written)), index
    now = owner.status()
    assert not any(now["nbd"]["errors_total"].values())
    assert now["engine"]["fetch"]["unreachable_pages_total"] == 0
    assert now["pager"]["refused_puts_total"] == 0


@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGKILL])
def test_the_only_holder_is_away_for_20_seconds_and_no_request_fails(
    pair: Cluster, how: signal.Signals
) -> None:
    """Stopped, or killed and started again with its memory kept."""
    owner, holder = pair[1], pair[2]
    written = range(500, 500 + 1024)
    with (
        patient_client(owner) as client,
        patient_client(owner) as writer,
        owner.client("disk") as disk,
    ):
        disk.write(0, bytes(8 * PAGE))
        go_away(holder, how)
        asked = ask_for(client, range(ASKED))
        for index in written:
            payload = marked_page(index + PAGES)
            writer._ask(Command.WRITE, index * PAGE, PAGE, payload=payload)
        wait = wait_long(owner, AWAY_SECONDS)
        assert (wait["pool"], wait["nodes"]) == (EXPORT, ["n2"])
        assert 0 < wait["reads"] <= ASKED
        assert wait["writes"] > 0
        assert (
            f"export {EXPORT} waits for node n2: {wait['reads']} reads"
            in ctl(owner, "status").stdout
        )
        # A client whose requests all wait holds up nobody else.
        assert disk.read(0, 8 * PAGE) == bytes(8 * PAGE)
        come_back(holder, how)
        for index, answer in take_answers(client, asked).items():
            assert answer == marked_page(index), index
        for _ in written:
            writer._next_reply()
    wait_until(lambda: the_wait(owner) is None, "nobody waits any more")
    owner.wait_said(f"export {EXPORT} waits for no node any more")
    assert f"export {EXPORT} waits for node n2" in owner.log
    now = owner.status()
    assert now["engine"]["fetch"]["outwaited_gets_total"] > 0
    assert now["pager"]["outwaited_puts_total"] > 0
    check_all(owner, written)


def test_a_restart_meanwhile_is_not_held_up_and_the_request_is_sent_again(pair: Cluster) -> None:
    """Requests that wait are waited for within the bound of a restart; then their client is disconnected."""
    owner, holder = pair[1], pair[2]
    with patient_client(owner) as client, owner.client("disk") as idle:
        idle.read(0, PAGE)
        go_away(holder, signal.SIGSTOP)
        asked = ask_for(client, range(ASKED))
        wait_long(owner, 1.0)
        done = ctl(owner, "restart")
        assert done.returncode == 0, done
        with pytest.raises(ConnectionLost):
            take_answers(client, asked)
        assert idle.read(0, PAGE) == bytes(PAGE), "it goes on, on the same connection"
        client._sock.close()
    with patient_client(owner) as again:
        asked = ask_for(again, range(ASKED))
        wait_long(owner, 1.0)
        come_back(holder, signal.SIGSTOP)
        for index, answer in take_answers(again, asked).items():
            assert answer == marked_page(index), index
    check_all(owner, range(0))
