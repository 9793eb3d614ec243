"""A machine swaps to its own ramsterd while a program fills more than its memory: set up as the units do it, or refused."""

from pathlib import Path

import pytest

from tests.guest.own_swap import own_cluster, run_own_swap
from tests.guest.ways import Boot
from tests.system.conftest import NewCluster

# At least; with all pages filled before and verified behind it, a round takes minutes.
# Longer ones: `python -m tests.guest.own_swap`.
SECONDS = 30

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]


@pytest.mark.parametrize("mebibytes", [512, 256])
def test_a_machine_that_swaps_to_itself_goes_on_and_has_every_page(
    mebibytes: int, new_cluster: NewCluster, boot: Boot, tmp_path: Path
) -> None:
    outcome = run_own_swap(
        boot, own_cluster(new_cluster, mebibytes), tmp_path, mebibytes=mebibytes, seconds=SECONDS
    )
    print(outcome)
    assert outcome.is_right, outcome
    assert outcome.swapped_out_mebibytes > mebibytes
    assert outcome.major_faults == 0


def test_a_machine_that_is_too_small_for_it_is_refused(
    new_cluster: NewCluster, boot: Boot, tmp_path: Path
) -> None:
    """Nothing would be left for everything else."""
    outcome = run_own_swap(boot, own_cluster(new_cluster, 192), tmp_path, mebibytes=192)
    assert outcome.said.count("guest: attach ended with 78") == 2
    assert "others-bounded" in outcome.said
    assert "type: lower memory.budget in /etc/ramster/ramsterd.toml" in outcome.said
    assert "guest: swap is on" not in outcome.said
