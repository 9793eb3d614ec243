"""The daemon and its check on a machine that gives less than the files ask for: what the kernel says, said before."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.programs import RAMSTERCTL, RAMSTERD, environment, run_program
from tests.helpers.requirements import require_root
from tests.system.conftest import NewCluster
from tests.system.daemons import MIB, Node

EX_CONFIG = 78
LIMIT_BYTES = 200 * MIB


@pytest.fixture
def cgroup() -> Iterator[Path]:
    """Yield a cgroup of at most 200 MiB, of either version; it is removed again."""
    require_root()
    name = f"ramster-test-{os.getpid()}"
    for top, file in (("memory", "memory.limit_in_bytes"), ("", "memory.max")):
        folder = Path("/sys/fs/cgroup") / top / name
        try:
            folder.mkdir()
        except OSError:
            continue
        try:
            if (folder / file).exists():
                (folder / file).write_text(str(LIMIT_BYTES))
                yield folder
                return
        except OSError:
            continue
        finally:
            folder.rmdir()
    pytest.skip("needs a memory cgroup that can be made")


def run_in(cgroup: Path, command: list[str], node: Node) -> subprocess.CompletedProcess[str]:
    """Run a command of the daemon inside a cgroup."""
    script = f'echo $$ > {cgroup}/cgroup.procs; exec "$@"'
    return subprocess.run(
        ["sh", "-c", script, "sh", *RAMSTERD, *command, "--config", str(node.config)],
        capture_output=True,
        check=False,
        env=environment(),
        text=True,
        timeout=30,
    )


@pytest.mark.parametrize("command", ["run", "check-config"])
def test_a_budget_beyond_the_limit_of_the_cgroup_is_refused_by_name(
    new_cluster: NewCluster, cgroup: Path, command: str
) -> None:
    """Else the kernel would end the daemon, and all its pages, when it is three quarters full."""
    node = new_cluster(budgets=["512MiB"])[1]
    done = run_in(cgroup, [command], node)
    assert done.returncode == EX_CONFIG, done.stderr
    assert "memory.budget: found 512MiB" in done.stderr
    assert f"of cgroup /{cgroup.name}): beyond that the kernel ends the daemon" in done.stderr


def test_a_share_is_of_the_limit_of_the_cgroup(new_cluster: NewCluster, cgroup: Path) -> None:
    node = new_cluster(budgets=["50%"])[1]
    done = run_in(cgroup, ["check-config"], node)
    assert done.returncode == 0, done.stderr
    assert "budget 100 MiB (50% of memory." in done.stdout
    assert f"of cgroup /{cgroup.name}, 200 MiB), exports: swap0" in done.stdout


def test_status_shows_what_a_share_has_become(new_cluster: NewCluster) -> None:
    cluster = new_cluster(budgets=["1%"])
    cluster.start()
    node = cluster[1]
    status = node.status()
    assert status["config"]["budget"].startswith(
        f"{status['engine']['store']['zbud']['budget_bytes'] / MIB:.1f}".split(".")[0]
    )
    assert "(1% of " in status["config"]["budget"]
    text = run_program(
        [*RAMSTERCTL, "--socket", str(node.control), "status"],
        capture_output=True, check=True, env=environment(), text=True, timeout=30,
    ).stdout  # fmt: skip
    assert "(1% of " in text
