from net.complaints import Complaints


def test_a_flood_is_counted_and_told_later() -> None:
    complaints = Complaints(2, span_seconds=10)
    assert [complaints.allow(now=now) for now in (0, 1, 2, 9)] == [0, 0, None, None]
    assert [complaints.allow(now=now) for now in (10, 11, 12)] == [2, 0, None]
    assert complaints.allow(now=30) == 1
    assert complaints.left_out_total == 3
