"""What a stop ends is one sentence."""

from ramsterd.membership.ending import describe_ending


def test_a_node_says_what_it_still_owns() -> None:
    assert (
        describe_ending("alpha", 25_600, 1)
        == "node alpha still owns 25,600 pages (1 client connected): these pages are lost when ramsterd stops"
    )
    assert (
        describe_ending("alpha", 1, 0)
        == "node alpha still owns 1 page (0 clients connected): it is lost when ramsterd stops"
    )


def test_what_may_be_kept_there_is_not_called_lost() -> None:
    assert describe_ending("alpha", 1, 0, may_be_kept=True).endswith(
        ": it is lost when ramsterd stops, unless [memory] keep names a folder there"
    )


def test_a_node_that_owns_nothing_says_nothing() -> None:
    assert not describe_ending("alpha", 0, 3)
