"""A cluster of three nodes is upgraded one node after the other, as docs/operations.md says, under clients that verify."""

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.docs.pages import DOCS
from tests.helpers.installation import Installation
from tests.helpers.kept_folders import keep_in, kept_folder
from tests.helpers.programs import environment
from tests.helpers.requirements import require_tool
from tests.system.conftest import NewCluster
from tests.system.daemons import Cluster, Node, wait_until
from tests.system.verifier import Verifier

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

OLD, NEW = "7.0.0", "7.1.0"
# How long a client writes, at least, before it reads all of it.
PASS_SECONDS: Final = 1
# The block of commands for one node.
OPERATIONS: Final = (DOCS / "operations.md").read_text()
HEADING: Final = "\n### Upgrade a cluster\n"
PIP: Final = "/opt/ramster/bin/pip install "


def typed_lines() -> list[str]:
    """Return what an operator types at each node."""
    section = OPERATIONS.split(HEADING)[1].split("\n### ")[0]
    lines = [line.removeprefix("    $ ") for line in section.splitlines()]
    return [line for line in lines if line.startswith((PIP, "ramster"))]


class Rack:
    """Three nodes, some with an installation of their own and a shell there; others run this tree."""

    def __init__(self, cluster: Cluster, folder: Path, upgraded: list[Node]) -> None:
        self.cluster = cluster
        self.transcript: list[str] = []
        self.installed = {
            node.number: Installation(folder / f"{node.name}-opt") for node in upgraded
        }
        for node in upgraded:
            self.installed[node.number].install(OLD)
            node.program = self.installed[node.number].ramsterd

    def start(self) -> None:
        for node in self.cluster:
            is_installed = node.number in self.installed
            node.start(self.installed[node.number].environ if is_installed else None)
        for node in self.cluster:
            node.wait_ready()
        self.cluster.wait_linked()

    def type(self, node: Node, line: str, version: str) -> str:
        """Do what a line says, and return what it prints; it must not fail."""
        done = self.run(node, line, version)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def run(self, node: Node, line: str, version: str) -> subprocess.CompletedProcess[str]:
        installed = self.installed[node.number]
        if line.startswith(PIP):
            installed.install(version)
            done = subprocess.CompletedProcess([], 0, f"Successfully installed {version}\n", "")
        else:
            program, *arguments = line.split()
            assert program == "ramsterctl"
            done = subprocess.run(
                [*installed.ramsterctl, "--socket", str(node.control), *arguments],
                capture_output=True, check=False, text=True, timeout=90,
                env={**environment(), **installed.environ},
            )  # fmt: skip
        self.transcript += [f"{node.name}# {line}", done.stdout + done.stderr]
        return done

    def wait_calm(self) -> None:
        """Wait until what the page says is true: all linked, and no page at risk."""
        self.cluster.wait_linked()
        for node in self.cluster:
            wait_until(
                lambda node=node: not node.engine()["rebuild"]["pages_at_risk"],  # type: ignore[misc]  # can't infer
                f"{node.name} has no page at risk",
                seconds_max=60,
            )


@pytest.fixture
def cluster(new_cluster: NewCluster) -> Iterator[Cluster]:
    require_tool("fio")
    yield from keeping(new_cluster(budgets=["2MiB", "24MiB", "24MiB"], copies=2, export="16MiB"))


@pytest.fixture
def single(new_cluster: NewCluster) -> Iterator[Cluster]:
    """Yield one node: what happens is between its program and its release."""
    require_tool("fio")
    yield from keeping(new_cluster(budgets=["24MiB"], export="16MiB"))


def keeping(made: Cluster) -> Iterator[Cluster]:
    with kept_folder() as folder:
        for node in made:
            keep_in(node.config, folder / node.name)
        yield made


@contextmanager
def racked(cluster: Cluster, folder: Path, upgraded: list[Node]) -> Iterator[Rack]:
    made = Rack(cluster, folder, upgraded)
    made.start()
    try:
        yield made
    finally:
        print("\n".join(made.transcript))


@contextmanager
def verifying(cluster: Cluster, *mebibytes: int) -> Iterator[list[Verifier]]:
    """Have clients of the first nodes at work; none may see an error, nor a page that it did not write.

    Their passes take seconds: an upgrade takes as long, and to begin a pass costs as much as a thousand requests.
    """
    with ExitStack() as stack:
        yield [
            stack.enter_context(Verifier(node.uri, size, pass_seconds=PASS_SECONDS))
            for node, size in zip(cluster, mebibytes, strict=False)
        ]


@pytest.mark.long
def test_no_client_of_three_nodes_notices_a_rolling_upgrade(
    cluster: Cluster, tmp_path: Path
) -> None:
    with racked(cluster, tmp_path, list(cluster)) as rack:
        upgrade_all(rack)


def upgrade_all(rack: Rack) -> None:
    lines = typed_lines()
    assert [line.split()[0] for line in lines] == [PIP.split()[0], *["ramsterctl"] * 3]
    pids = {node.number: node.process and node.process.pid for node in rack.cluster}
    incarnations = {node.number: node.status()["incarnation"] for node in rack.cluster}
    # The first has twice the budget of its node: half of its pages and more are at both peers.
    with verifying(rack.cluster, 4, 1, 1) as clients:
        for node in rack.cluster:
            clients[0].wait_whole_pass(f"before {node.name} is upgraded")
            said = [rack.type(node, line, NEW) for line in lines]
            assert "the daemon serves again" in said[1]
            assert "disconnected" not in said[1]
            assert f"of cluster test, version {NEW}, up" in said[2]
            rack.wait_calm()
        for client in clients:
            client.wait_whole_pass("behind the upgrade")
    for node in rack.cluster:
        now = node.status()
        assert (now["version"], now["incarnation"]) == (NEW, incarnations[node.number])
        assert node.process is not None
        assert node.process.pid == pids[node.number]
        assert now["engine"]["store"]["lost_pages_total"] == 0
        assert now["handover"]["dropped_connections_total"] == 0
        assert f"ramsterd {NEW} starts as node {node.name}" in node.log


BROKEN = {
    # A library that is not there, and files of another major release.
    "its program does not start": ("ramsterd/daemon.py", "import a_library_that_is_not_here"),
    "it keeps pages otherwise": (
        "ramsterd/kept/layout.py",
        "def layout_hash() -> int: return 0xabc",
    ),
}


def test_an_upgrade_that_would_fail_changes_nothing(single: Cluster, tmp_path: Path) -> None:
    """Whatever is wrong with the release; with one that runs it goes on."""
    node = single[1]
    with racked(single, tmp_path, [node]) as rack, verifying(single, 3) as clients:
        clients[0].wait_whole_pass("before the upgrade")
        for what, change in BROKEN.items():
            uptime = node.status()["uptime_seconds"]
            rack.installed[1].install(NEW, changes=dict([change]))
            done = rack.run(node, "ramsterctl restart", NEW)
            assert done.returncode == 1, what
            assert "nothing was restarted: the next start of ramsterd would fail" in done.stderr
            now = node.status()
            assert (now["version"], now["uptime_seconds"] > uptime) == (OLD, True), what
            clients[0].wait_whole_pass(f"behind the refusal: {what}")
        rack.installed[1].install(NEW)
        rack.type(node, "ramsterctl restart", NEW)
        clients[0].wait_whole_pass("behind the upgrade")
    assert node.status()["version"] == NEW
