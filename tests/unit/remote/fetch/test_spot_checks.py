"""Peers are asked for one of the pages that they lately stored, and judged by it."""

import random

from net.frame import Frame
from ramsterd.core.codec import ZPAGE_BYTES_MASK
from ramsterd.remote import wire
from ramsterd.remote.fetch.asking import FetchRequest
from ramsterd.remote.fetch.spot_checks import SAMPLES, SpotChecks
from ramsterd.remote.holders.trust import CREDIT_PAGES_FIRST, BadCopy, Trust
from ramsterd.remote.wire import MessageType
from tests.helpers.made_owner import BLOCK_PAGES, ONE, Owner


class Checking(Owner):
    """An owner whose peer stored so much that it is due."""

    def __init__(self) -> None:
        super().__init__(budget_bytes=8 << 20)
        self.trust = Trust()
        self.told: list[tuple[int, BadCopy]] = []
        self.checks = SpotChecks(
            self.store.rows, self.trust, rng=random.Random(0), on_bad_copy=self.on_bad_copy
        )
        self.rows: list[int] = []
        for _ in range(CREDIT_PAGES_FIRST // 2 // BLOCK_PAGES):
            rows = self.put_and_send(ONE)
            self.rows += rows
            serials = [self.store.rows.serial(row) for row in rows]
            self.checks.on_stored(self.holder(ONE), rows, serials)

    def on_bad_copy(self, holder: int, row: int, kind: BadCopy, now: float) -> None:
        self.told.append((row, kind))

    def next_check(self, *, is_sending: bool = False) -> FetchRequest | None:
        return self.checks.next_check(self.holder(ONE), is_sending=is_sending)

    def ask(self) -> FetchRequest:
        request = self.next_check()
        assert request is not None
        self.checks.begin(1, self.holder(ONE), request)
        return request

    def reply_check(self, code: int, zpage: bytes) -> None:
        table = memoryview(wire.get_reply_table([code]))
        frame = Frame(MessageType.GET_PAGES, True, 1, 1, table, memoryview(zpage))
        self.checks.on_reply(1, frame, 5.0)

    def credit(self) -> int:
        return self.trust.statistics(5.0)[ONE].credit_pages


def test_a_page_that_was_stored_is_asked_for_and_an_intact_one_proves() -> None:
    owner = Checking()
    assert owner.trust.to_check == {ONE}
    request = owner.ask()
    [serial], [row] = request.serials, request.rows
    assert row in owner.rows
    owner.reply_check(*owner._zpages[serial])
    assert owner.credit() == 2 * CREDIT_PAGES_FIRST
    assert owner.told == []
    assert owner.checks.judged_total == 1


def test_a_missing_page_and_a_damaged_one_are_told() -> None:
    owner = Checking()
    request = owner.ask()
    owner.reply_check(0, b"")
    code, zpage = owner._zpages[request.serials[0]]
    assert code & ZPAGE_BYTES_MASK == len(zpage)
    second = owner.ask()
    owner.reply_check(code, bytes(byte ^ 1 for byte in zpage))
    assert owner.told == [
        (request.rows[0], BadCopy.MISSING),
        (second.rows[0], BadCopy.DAMAGED),
    ]
    assert owner.credit() == CREDIT_PAGES_FIRST


def test_one_check_is_under_way_at_a_time() -> None:
    owner = Checking()
    owner.ask()
    assert owner.next_check() is None
    owner.checks.on_request_failed(1)
    assert owner.checks.unanswered_total == 1
    assert owner.next_check() is not None, "no answer says nothing"


def test_a_page_that_was_put_again_on_the_way_says_nothing() -> None:
    owner = Checking()
    request = owner.ask()
    owner.store.versions.lose(request.rows[0])
    owner.reply_check(0, b"")
    assert owner.told == []
    assert owner.checks.judged_total == 0
    assert owner.next_check() is not None


def test_when_all_that_was_stored_was_put_again_nothing_is_to_be_proven() -> None:
    owner = Checking()
    for row in owner.rows:
        owner.store.versions.lose(row)
    assert owner.next_check(is_sending=True) is None
    assert owner.trust.to_check == {ONE}, "there is more to come"
    assert owner.next_check() is None
    assert owner.trust.to_check == set()


def test_an_incarnation_that_is_over_is_forgotten() -> None:
    owner = Checking()
    owner.ask()
    dead = owner.holders.end(ONE)
    owner.checks.forget(dead.id)
    owner.reply_check(0, b"")
    assert owner.told == []


def test_few_pages_are_remembered_and_late_blocks_are_among_them() -> None:
    owner = Checking()
    samples = owner.checks._samples[owner.holder(ONE).id].pages
    assert len(samples) == SAMPLES
    assert any(row in owner.rows[len(owner.rows) // 2 :] for row, _ in samples)
