"""The front ends of a node that has none, which keeps pages for others all the same."""

from ramsterd.core.page import PoolId
from ramsterd.pagepath.effects import GetDone
from ramsterd.pagepath.front_ends import FrontEnds, NoFrontEnds
from ramsterd.remote.fetch.pending import PendingGet


def test_where_nobody_waits_a_pass_ends_and_nothing_is_due() -> None:
    nobody: FrontEnds = NoFrontEnds()
    nobody.on_woken(GetDone(PendingGet(PoolId(1), b"", [0], [None], deadline=1.0)))
    assert not nobody.serve_waiting(), "or a pass would never end"
    nobody.on_deadline(2.0)
    assert nobody.next_deadline() is None
