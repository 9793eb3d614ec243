"""Which peers get pages: not those whose copies are bad, and never more than they have shown they keep."""

from nodemanager.ids import NodeId
from ramsterd.remote.holders.trust import (
    CREDIT_PAGES_FIRST,
    CREDIT_PAGES_MAX,
    CREDIT_PAGES_MIN,
    DISTRUST_SECONDS,
    DOUBLED_MAX,
    GOOD_SECONDS,
    BadCopy,
    Distrusted,
    Trust,
    TrustedAgain,
)

PEER, OTHER = NodeId(1), NodeId(2)


def credit_of(trust: Trust, node: NodeId = PEER) -> int:
    return trust.statistics(0.0)[node].credit_pages


# Backoff.


def test_each_bad_copy_after_a_wait_doubles_the_next_up_to_a_bound() -> None:
    trust, now, waits = Trust(), 10.0, []
    for _ in range(DOUBLED_MAX + 2):
        trust.on_bad(PEER, BadCopy.MISSING, 1, now)
        waits.append(trust.distrusted_until(PEER) - now)
        now = trust.distrusted_until(PEER)
    assert waits[:3] == [DISTRUST_SECONDS, 2 * DISTRUST_SECONDS, 4 * DISTRUST_SECONDS]
    assert waits[-2:] == [DISTRUST_SECONDS * 2**DOUBLED_MAX] * 2


def test_bad_copies_during_a_wait_are_counted_and_make_it_no_longer() -> None:
    trust = Trust()
    for each in range(5):
        trust.on_bad(PEER, BadCopy.DAMAGED, 2, 10.0 + each / 10)
    assert trust.distrusted_until(PEER) == 10.0 + DISTRUST_SECONDS
    assert trust.statistics(10.5)[PEER].bad_copies_total[BadCopy.DAMAGED] == 10
    assert trust.statistics(10.5)[PEER].distrusted_seconds == DISTRUST_SECONDS - 0.5


def test_each_wait_is_news_once() -> None:
    trust = Trust()
    trust.on_bad(PEER, BadCopy.MISSING, 1, 10.0)
    trust.on_bad(PEER, BadCopy.MISSING, 1, 10.1)
    [news] = trust.take_news()
    assert isinstance(news, Distrusted)
    assert (news.node, news.bad[BadCopy.MISSING], news.seconds) == (PEER, 1, DISTRUST_SECONDS)
    assert trust.take_news() == []


def test_peers_are_judged_one_by_one() -> None:
    trust = Trust()
    trust.on_bad(PEER, BadCopy.MISSING, 1, 10.0)
    assert trust.distrusted_until(OTHER) == 0.0
    assert trust.has_credit(OTHER, 0)


def test_after_a_good_while_the_row_ends_and_that_is_news() -> None:
    trust = Trust()
    trust.on_bad(PEER, BadCopy.MISSING, 1, 10.0)
    trust.take_news()
    good_at = trust.distrusted_until(PEER) + GOOD_SECONDS
    trust.on_proof(PEER, good_at - 1)
    assert trust.take_news() == []
    assert trust.statistics(good_at)[PEER].is_in_doubt
    trust.on_proof(PEER, good_at)
    [news] = trust.take_news()
    assert isinstance(news, TrustedAgain)
    assert not trust.statistics(good_at)[PEER].is_in_doubt
    trust.on_bad(PEER, BadCopy.MISSING, 1, good_at + 1)
    assert trust.distrusted_until(PEER) == good_at + 1 + DISTRUST_SECONDS


# Credit.


def test_a_peer_that_has_shown_nothing_gets_its_first_credit_and_no_more() -> None:
    trust = Trust()
    assert trust.has_credit(PEER, CREDIT_PAGES_FIRST - 1)
    assert not trust.has_credit(PEER, CREDIT_PAGES_FIRST)
    trust.on_stored(PEER, CREDIT_PAGES_FIRST - 1)
    assert trust.has_credit(PEER, 0)
    assert not trust.has_credit(PEER, 1)
    trust.on_stored(PEER, 1)
    assert not trust.has_credit(PEER, 0)


def test_at_half_its_credit_a_peer_is_to_be_checked() -> None:
    trust = Trust()
    trust.on_stored(PEER, CREDIT_PAGES_FIRST // 2 - 1)
    assert trust.to_check == set()
    trust.on_stored(PEER, 1)
    assert trust.to_check == {PEER}
    trust.on_proof(PEER, 10.0)
    assert trust.to_check == set()


def test_each_proof_doubles_the_credit_up_to_a_bound() -> None:
    trust, before = Trust(), CREDIT_PAGES_FIRST
    while before < CREDIT_PAGES_MAX:
        trust.on_proof(PEER, 10.0)
        assert credit_of(trust) == 2 * before
        before = credit_of(trust)
    trust.on_proof(PEER, 10.0)
    assert credit_of(trust) == CREDIT_PAGES_MAX


def test_after_a_bad_copy_the_credit_is_one_frame() -> None:
    trust = Trust()
    trust.on_proof(PEER, 10.0)
    trust.on_bad(PEER, BadCopy.MISSING, 1, 10.0)
    assert credit_of(trust) == CREDIT_PAGES_MIN


def test_after_a_bad_copy_a_status_must_agree_with_the_proof() -> None:
    trust = Trust()
    trust.on_bad(PEER, BadCopy.DISOWNED, 1, 10.0)
    trust.on_stored(PEER, CREDIT_PAGES_MIN)
    trust.on_some_held(PEER)
    assert not trust.has_credit(PEER, 0), "it says so, and has shown nothing"
    trust.on_proof(PEER, 12.0)
    assert not trust.has_credit(PEER, 0), "it has shown it, and may yet disown it"
    trust.on_stored(PEER, 1)
    assert trust.to_check == set(), "it is not asked again for that"
    trust.on_some_held(PEER)
    assert trust.has_credit(PEER, CREDIT_PAGES_MIN)


def test_what_nobody_wants_any_more_need_not_be_proven() -> None:
    trust = Trust()
    trust.on_stored(PEER, CREDIT_PAGES_FIRST)
    trust.on_nothing_to_prove(PEER)
    assert trust.has_credit(PEER, 0)
    assert credit_of(trust) == CREDIT_PAGES_FIRST


def test_a_new_incarnation_has_nothing_to_prove_yet() -> None:
    trust = Trust()
    trust.on_stored(PEER, CREDIT_PAGES_FIRST)
    trust.on_incarnation_over(PEER)
    assert trust.has_credit(PEER, 0)
    assert trust.to_check == set()


# Disowning.


def test_a_peer_that_disowns_gets_nothing_until_it_is_known_what_that_costs() -> None:
    trust = Trust()
    trust.on_disowning(PEER)
    assert trust.is_disowning(PEER)
    trust.on_disowned(PEER, 0, 10.0)
    assert not trust.is_disowning(PEER)
    assert trust.distrusted_until(PEER) == 0.0, "it dropped ephemeral pages, as it may"
    trust.on_disowning(PEER)
    trust.on_disowned(PEER, 7, 10.0)
    assert trust.distrusted_until(PEER) > 10.0
    assert trust.statistics(10.0)[PEER].bad_copies_total[BadCopy.DISOWNED] == 7


def test_a_member_that_is_gone_is_forgotten() -> None:
    trust = Trust()
    trust.on_disowning(PEER)
    trust.on_stored(PEER, CREDIT_PAGES_FIRST)
    trust.forget(PEER)
    trust.on_disowned(PEER, 7, 10.0)
    assert trust.statistics(10.0) == {}
    assert trust.to_check == set()
