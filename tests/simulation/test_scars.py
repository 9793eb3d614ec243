"""The known faults of our ancestor: each has a seeded simulation test of its name, and none vanishes silently."""

import ast
from pathlib import Path
from typing import Final

import pytest

SCARS: Final = (
    "put_overtakes_remotify",
    "flush_never_hits_a_newer_put",
    "refused_put_hides_the_old_page",
    "lost_reply_loses_nothing",
    "flush_overtakes_get",
    "put_overtakes_get",
    "failed_get_leaves_no_trace",
    "dead_peer_blocks_nobody",
    "refused_put_is_retried_elsewhere",
    "owner_death_purges",
    "foreign_quota_holds",
    "holder_dies_nothing_lost",
    "nodes_start_in_any_order",
    "target_leaves_and_returns",
    "hostile_lengths_drop_the_link",
    "flipped_bit_is_caught",
    "swapoff_before_stop",
    "destroy_pool_leaves_no_foreign_pages",
)


def functions_here() -> dict[str, set[str]]:
    """Return the names of all functions of the tests in this folder, each with those of its arguments."""
    found = {}
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found[node.name] = {argument.arg for argument in node.args.args}
    return found


@pytest.mark.parametrize("scar", SCARS)
def test_a_scar_has_a_seeded_test_of_its_name(scar: str) -> None:
    arguments = functions_here().get(f"test_{scar}")
    assert arguments is not None, f"there is no test_{scar} in this folder"
    assert "seed" in arguments, f"test_{scar} runs with one fate only"
