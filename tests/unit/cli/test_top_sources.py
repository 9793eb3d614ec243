"""Where the screens of `ramsterctl top` come from: what an older daemon does not tell, a screen does without."""

from pathlib import Path

import pytest

from ramsterd.cli.target import Target
from ramsterd.cli.top_parts import UNTOLD
from ramsterd.cli.top_sources import ClusterSource, NodeSource
from tests.helpers.pictures import node, picture


@pytest.mark.parametrize("kind", [NodeSource, ClusterSource])
def test_an_older_daemon_at_hand_has_a_screen(kind: type[NodeSource | ClusterSource]) -> None:
    shown = picture(node="alpha", nodes=[node("alpha", is_local=True)])
    older = {name: value for name, value in shown.items() if name not in UNTOLD}
    lines = [line.plain for line in kind(Target(Path("none.ctl")), older).lines(80, 24, keys="")]
    assert any(line.startswith("alpha") for line in lines)
    assert "p50/p99 read - / - here   - / - with peers   " in lines
