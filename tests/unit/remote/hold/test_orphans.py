"""When the pages of an owner that is down go."""

from nodemanager.ids import NodeId
from ramsterd.remote.hold.orphans import Orphans

ONE, OTHER = NodeId(1), NodeId(2)


def test_pages_go_when_their_owner_was_down_for_long_enough() -> None:
    purged: list[NodeId] = []
    orphans = Orphans(orphan_seconds=60.0, purge=purged.append)
    assert orphans.next_deadline() is None
    orphans.expect(ONE, 1.0)
    orphans.expect(OTHER, 2.0)
    assert orphans.next_deadline() == 61.0
    orphans.on_deadline(61.0)
    assert purged == [ONE]
    assert orphans.next_deadline() == 62.0


def test_what_is_waited_for_already_goes_on() -> None:
    orphans = Orphans(orphan_seconds=60.0, purge=lambda _: None)
    orphans.expect(ONE, 1.0)
    orphans.expect(ONE, 50.0)
    assert orphans.next_deadline() == 61.0


def test_an_owner_that_is_back_keeps_its_pages() -> None:
    purged: list[NodeId] = []
    orphans = Orphans(orphan_seconds=60.0, purge=purged.append)
    orphans.expect(ONE, 1.0)
    orphans.call_off(ONE)
    orphans.on_deadline(100.0)
    assert purged == []
