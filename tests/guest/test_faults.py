"""A guest swaps on through faults of the cluster behind its swap, and every page is right: cases.py has the table.

The nodes are set up as an operator does it, on hosts of their own.  As everywhere here, only the serial console is
believed.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from tests.guest.cases import CASES, Case
from tests.guest.faults import HOLDER, Scene
from tests.guest.stalls import stalls, worst
from tests.guest.verdicts import assert_right
from tests.guest.ways import HOG_MEBIBYTES, NBD_PORT, WAYS, Boot, Way
from tests.helpers.kept_folders import keep_in, kept_folder
from tests.plugins.stalls import Row, record
from tests.system.conftest import NewCluster
from tests.system.hosts import move_in
from tests.system.namespaces import Network

OWNER_BUDGET = "6MiB"
# All of the area at half its size, at each of those that are left; at most `foreign_fraction_max` of it is for others, up
# to `low_watermark`.
PEER_BUDGET = "112MiB"
AREA = "128MiB"
END_SECONDS_MAX = 400.0

pytestmark = [pytest.mark.root, pytest.mark.timeout(800)]


def line(case: Case, way: Way) -> ParameterSet:
    """Return a line of the table in one of its ways."""
    name = f"{case.fault.__name__}-{case.copies}-{way.name}"
    return pytest.param(case, way, id=name, marks=() if way in case.quick else pytest.mark.long)


LINES = [line(case, way) for case in CASES for way in WAYS]


@pytest.fixture
def new_scene(
    hosts: Network, new_cluster: NewCluster, tmp_path: Path
) -> Iterator[Callable[[Case], Scene]]:
    """Yield what starts the cluster of a case."""
    with ExitStack() as stack:

        def start(case: Case) -> Scene:
            budgets = [OWNER_BUDGET, *[PEER_BUDGET] * case.peers]
            cluster = new_cluster(budgets=budgets)
            move_in(
                cluster, hosts, tmp_path / "rack", budgets=budgets, export=AREA,
                remote=f"copies = {case.copies}", timers={},
            )  # fmt: skip
            config = cluster[1].config
            text = config.read_text()
            text = text.replace("[nbd]\n", f'[nbd]\nlisten = "127.0.0.1:{NBD_PORT}"\n')
            config.write_text(text.replace("[[export]]\n", "[[export]]\nswap = true\n"))
            if case.keeps is not None:
                keep_in(cluster[case.keeps].config, stack.enter_context(kept_folder()))
            cluster.start()
            return Scene(cluster, hosts)

        yield start


@pytest.mark.parametrize(("case", "way"), LINES)
def test_a_guest_swaps_on_through_a_fault(
    case: Case,
    way: Way,
    new_scene: Callable[[Case], Scene],
    boot: Boot,
    record_property: Callable[[str, object], None],
) -> None:
    scene = new_scene(case)
    owner = scene.owner
    guest = way.boot(boot, owner, prefix=owner.prefix)
    guest.wait_said("hog: verified")
    assert owner.pages_at(HOLDER) > 0
    before = stalls(guest.said)
    case.fault(scene)
    guest.tell("that will do")
    said = guest.wait_end(seconds_max=END_SECONDS_MAX)
    quiet, slowest = worst(before), worst(stalls(said)[len(before) :])
    record(
        record_property,
        Row(case.name, case.copies, way.name, quiet.milliseconds, slowest.milliseconds,
            slowest.phase, case.bar_milliseconds),
    )  # fmt: skip
    assert_right(said, mebibytes=HOG_MEBIBYTES)
    store = owner.engine()["store"]
    assert store["lost_pages_total"] == store["corrupt_pages_total"] == 0
