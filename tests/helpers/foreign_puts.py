"""Owners whose pages a holder keeps: raw pages, a block of them in a frame."""

from nodemanager.ids import Incarnation, NodeId
from ramsterd.core.codec import encode_page
from ramsterd.core.page import PAGE_BYTES, PoolKind
from ramsterd.core.slices import Steps
from ramsterd.remote.hold.foreign import ForeignPages
from ramsterd.remote.wire import PutPages, PutResult
from tests.helpers import columns
from tests.helpers.made_pages import make_page

ONE, OTHER = NodeId(1), NodeId(2)
INCARNATION = Incarnation(1)


def run_all(steps: Steps) -> None:
    """Do long work at once."""
    for _ in steps:
        pass


def put(
    foreign: ForeignPages, kind: PoolKind, serials: range, *, owner: NodeId = ONE
) -> list[PutResult]:
    """Put raw pages, 16 in a frame as a block has; return one result a frame."""
    results = []
    for start in range(serials.start, serials.stop, 16):
        frame = list(range(start, start + 16))
        encoded = [encode_page(make_page(PAGE_BYTES, serial)) for serial in frame]
        message = PutPages(
            kind,
            *columns.of_zpages(
                frame,
                [checksum for _, _, checksum in encoded],
                [packed for packed, _, _ in encoded],
            ),
            memoryview(b"".join(zpage for _, zpage, _ in encoded)),
        )
        outcomes = set(foreign.on_put(owner, INCARNATION, message))
        assert len(outcomes) == 1
        results.append(PutResult(outcomes.pop()))
    return results
