from dataclasses import replace

from config.model import ClusterConfig
from nodemanager.ids import NodeId
from ramsterd.membership.address_book import FRESH_SECONDS, SETTLED_SECONDS, AddressBook
from tests.helpers.clusters import cluster_of
from tests.helpers.named_members import NAMED, ONE, TWO, US, with_addresses


def book_of(cluster: ClusterConfig = NAMED) -> AddressBook:
    return AddressBook(cluster, US)


def everybody(_: NodeId) -> bool:
    return True


def nobody(_: NodeId) -> bool:
    return False


def test_addresses_are_known_and_never_looked_up() -> None:
    book = book_of(cluster_of(3))
    assert not book.has_names
    assert book.is_fresh("127.0.0.1", now=0)
    assert book.addresses("127.0.0.1") == ("127.0.0.1",)
    assert book.due(nobody, now=0) == []
    assert book.endpoints() == {ONE: (("127.0.0.1", 7701),), TWO: (("127.0.0.1", 7702),)}


def test_a_name_has_no_address_until_it_is_found() -> None:
    book = book_of()
    assert not book.is_fresh("one.example", now=0)
    assert book.endpoints()[ONE] == ()
    assert book.on_found("one.example", ("fd00::1", "10.0.0.1"), now=0)
    assert book.endpoints()[ONE] == (("fd00::1", 7701), ("10.0.0.1", 7701))


def test_an_answer_counts_for_new_connections_for_a_named_time() -> None:
    book = book_of()
    book.on_found("one.example", ("10.0.0.1",), now=5)
    assert book.is_fresh("one.example", now=5 + FRESH_SECONDS - 0.1)
    assert not book.is_fresh("one.example", now=5 + FRESH_SECONDS)


def test_the_same_addresses_in_another_order_are_no_news() -> None:
    book = book_of()
    assert book.on_found("one.example", ("10.0.0.1", "10.0.0.2"), now=0)
    assert not book.on_found("one.example", ("10.0.0.2", "10.0.0.1"), now=1)
    assert book.on_found("one.example", ("10.0.0.2",), now=2)


def test_a_name_that_is_not_found_any_more_keeps_its_addresses_and_is_news_once() -> None:
    book = book_of()
    book.on_found("one.example", ("10.0.0.1",), now=0)
    assert book.on_not_found("one.example", "no answer", now=20)
    assert not book.on_not_found("one.example", "no answer", now=40)
    assert book.on_not_found("one.example", "not known", now=60)
    assert book.addresses("one.example") == ("10.0.0.1",)
    assert not book.is_fresh("one.example", now=60), "the next dial asks again"
    assert book.on_found("one.example", ("10.0.0.1",), now=80), "it is found again"


def test_names_of_nodes_that_are_not_heard_are_looked_up_often() -> None:
    book = book_of()
    assert book.due(everybody, now=0) == ["one.example", "two.example"]
    for host in ("one.example", "two.example"):
        book.on_found(host, ("10.0.0.1",), now=0)
    assert book.due(everybody, now=FRESH_SECONDS) == []
    assert book.due(lambda node: node == TWO, now=FRESH_SECONDS) == ["one.example"]
    assert book.due(everybody, now=SETTLED_SECONDS) == ["one.example", "two.example"]


def test_a_name_that_was_not_found_is_looked_up_often() -> None:
    book = book_of(with_addresses(node1="one.example"))
    book.on_not_found("one.example", "no answer", now=0)
    assert book.due(everybody, now=FRESH_SECONDS - 0.1) == []
    assert book.due(everybody, now=FRESH_SECONDS) == ["one.example"]


def test_a_node_that_connects_may_have_moved() -> None:
    book = book_of()
    for host in ("one.example", "two.example"):
        book.on_found(host, ("10.0.0.1",), now=0)
    book.on_link_up(ONE)
    assert book.due(everybody, now=1) == [], "it was looked up a moment ago"
    assert book.due(everybody, now=FRESH_SECONDS) == ["one.example"]
    book.on_found("one.example", ("10.0.0.1",), now=FRESH_SECONDS)
    assert book.due(everybody, now=2 * FRESH_SECONDS) == []


def test_one_name_of_two_nodes_is_looked_up_as_often_as_either_needs() -> None:
    book = book_of(with_addresses(node1="both.example", node2="both.example"))
    book.on_found("both.example", ("10.0.0.1",), now=0)
    assert book.due(lambda node: node == ONE, now=FRESH_SECONDS) == ["both.example"]
    assert book.endpoints() == {ONE: (("10.0.0.1", 7701),), TWO: (("10.0.0.1", 7702),)}


def test_members_that_go_take_their_names_along() -> None:
    book = book_of()
    book.on_found("one.example", ("10.0.0.1",), now=0)
    book.on_link_up(ONE)
    book.on_members(with_addresses(node2="two.example"))
    assert [row.host for row in book.rows()] == ["two.example"]
    assert not book.on_found("one.example", ("10.0.0.2",), now=1)
    assert not book.on_not_found("one.example", "late", now=1)
    assert book.endpoints()[ONE] == (("127.0.0.1", 7701),)
    book.on_link_up(NodeId(9))


def test_our_own_place_is_as_the_file_says_until_we_are_removed() -> None:
    book = book_of()
    assert book.own() == ("127.0.0.1", 7700)
    assert book.hosts()[US] == ("127.0.0.1", 7700)
    assert book.node_names()[US] == "node0"
    book.on_members(replace(NAMED, node=()))
    assert book.own() is None
    assert book.endpoints() == {}
