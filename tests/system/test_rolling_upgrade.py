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
from tests.helpers.requirements import require_tool
from tests.system.conftest import NewCluster
from tests.system.daemons import Cluster, Node, environment, wait_until
from tests.system.verifier import Verifier

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

OLD, NEW = "7.0.0", "7.1.0"
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
    """Three nodes, each with an installation of its own, and a shell at each of them."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster = cluster
        self.transcript: list[str] = []
        self.installed = {
            node.number: Installation(folder / f"{node.name}-opt") for node in cluster
        }
        for node in cluster:
            self.installed[node.number].install(OLD)
            node.program = self.installed[node.number].ramsterd

    def start(self) -> None:
        for node in self.cluster:
            node.start(self.installed[node.number].environ)
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
def rack(new_cluster: NewCluster, tmp_path: Path) -> Iterator[Rack]:
    require_tool("fio")
    cluster = new_cluster(budgets=["4MiB", "48MiB", "48MiB"], copies=2, export="32MiB")
    with kept_folder() as folder:
        for node in cluster:
            keep_in(node.config, folder / node.name)
        made = Rack(cluster, tmp_path)
        made.start()
        yield made
        print("\n".join(made.transcript))


@contextmanager
def verifying(cluster: Cluster, *sizes: str) -> Iterator[list[Verifier]]:
    """Have clients of the first nodes at work; none may see an error, nor a page that it did not write."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(Verifier(node.uri, size))
            for node, size in zip(cluster, sizes, strict=False)
        ]


def test_no_client_of_three_nodes_notices_a_rolling_upgrade(rack: Rack) -> None:
    lines = typed_lines()
    assert [line.split()[0] for line in lines] == [PIP.split()[0], *["ramsterctl"] * 3]
    pids = {node.number: node.process and node.process.pid for node in rack.cluster}
    incarnations = {node.number: node.status()["incarnation"] for node in rack.cluster}
    # The first has three times the budget of its node: most of its pages are at both peers.
    with verifying(rack.cluster, "12m", "2m", "2m") as clients:
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


@pytest.mark.parametrize("change", BROKEN.values(), ids=BROKEN)
def test_an_upgrade_that_would_fail_changes_nothing(rack: Rack, change: tuple[str, str]) -> None:
    node = rack.cluster[1]
    installed = rack.installed[node.number]
    with verifying(rack.cluster, "6m") as clients:
        clients[0].wait_whole_pass("before the upgrade")
        uptime = node.status()["uptime_seconds"]
        installed.install(NEW, changes=dict([change]))
        done = rack.run(node, "ramsterctl restart", NEW)
        assert done.returncode == 1
        assert "nothing was restarted: the next start of ramsterd would fail" in done.stderr
        now = node.status()
        assert (now["version"], now["uptime_seconds"] > uptime) == (OLD, True)
        clients[0].wait_whole_pass("behind the refusal")
        # With a release that runs it goes on.
        installed.install(NEW)
        rack.type(node, "ramsterctl restart", NEW)
        clients[0].wait_whole_pass("behind the upgrade")
    assert node.status()["version"] == NEW
