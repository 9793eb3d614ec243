"""A machine swaps to its own ramsterd, with all memory in use and no limit on those who use it."""

from pathlib import Path

import pytest

from tests.guest.own_swap import own_cluster, run_own_swap
from tests.guest.ways import Boot
from tests.system.conftest import NewCluster

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]


@pytest.mark.parametrize("mebibytes", [512, 256, 192])
def test_a_machine_that_swaps_to_itself_goes_on_and_has_every_page(
    mebibytes: int, new_cluster: NewCluster, boot: Boot, tmp_path: Path
) -> None:
    outcome = run_own_swap(boot, own_cluster(new_cluster, mebibytes), tmp_path, mebibytes=mebibytes)
    print(outcome)
    assert outcome.is_right, outcome
    assert outcome.swapped_out_mebibytes > mebibytes
    assert outcome.major_faults == 0
