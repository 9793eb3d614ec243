"""The one clock of all that comes home though no front end asked, and whose get it was."""

from config.model import RemoteConfig
from ramsterd.core.table_words import FIRST_NODE
from ramsterd.host.slack import slack_of
from ramsterd.remote.home.background_fetch import BUSY_SECONDS, IDLE_SECONDS, BackgroundFetch
from ramsterd.remote.home.leaf_fetch import STAY_BELOW
from tests.helpers.made_owner import BLOCK_PAGES, LEAF_PAGES, ONE, OTHER, Owner

QUIET_SECONDS = 10.0


class Returning(Owner):
    """An owner of pages with two copies each, and the three machines, which have ticked once at 0."""

    def __init__(
        self, *, rebuild_rate: int = 100_000, repatriate_rate: int = 100_000, low: float = 0.85
    ) -> None:
        super().__init__(copies=2)
        self.store.room.set_watermarks(high=0.92, low=low)
        self.background_fetch = BackgroundFetch(
            self.store,
            self.fetches,
            self.surroundings(),
            RemoteConfig(
                repatriate_seconds=QUIET_SECONDS,
                repatriate_pages_per_second=repatriate_rate,
                rebuild_pages_per_second=rebuild_rate,
            ),
        )
        self.is_draining = False
        self.is_any_remote = True
        self.tick(0.0)

    def tick(self, now: float) -> None:
        self.background_fetch.on_deadline(
            now, left_total=0, is_any_remote=self.is_any_remote, is_draining=self.is_draining
        )

    def note(self, rows: list[int]) -> None:
        for row in rows:
            self.background_fetch.rebuilder.note(row)

    def arrive(self, now: float) -> None:
        for pending in self.answer(now):
            assert self.background_fetch.on_done(pending)

    def moved(self) -> tuple[int, int, int]:
        """Return how many pages were rebuilt, retaken and repatriated."""
        background_fetch = self.background_fetch
        return (
            background_fetch.rebuilder.statistics(0).rebuilt_pages_total,
            background_fetch.owner_recall.statistics().recalled_pages_total,
            background_fetch.repatriator.statistics().repatriated_pages_total,
        )


# The interval.


def test_with_nothing_to_do_the_interval_is_idle() -> None:
    owner = Returning()
    assert owner.background_fetch.next_deadline() == IDLE_SECONDS
    owner.tick(IDLE_SECONDS)
    assert owner.background_fetch.next_deadline() == 2 * IDLE_SECONDS


def test_a_tick_has_slack_while_nothing_is_fetched() -> None:
    owner = Returning()
    assert owner.background_fetch.last_deadline() == IDLE_SECONDS + slack_of(IDLE_SECONDS)
    owner.note(owner.put_and_send(ONE))
    owner.tick(1.0)
    assert owner.background_fetch.last_deadline() == 1.0 + BUSY_SECONDS


def test_before_its_time_a_tick_does_nothing() -> None:
    owner = Returning()
    owner.note(owner.put_and_send(ONE))
    owner.tick(IDLE_SECONDS - 0.01)
    assert owner.asked() == 0
    assert owner.background_fetch.next_deadline() == IDLE_SECONDS
    owner.tick(IDLE_SECONDS)
    assert owner.asked() == BLOCK_PAGES


def test_a_tick_that_comes_late_is_followed_by_one_after_the_whole_time() -> None:
    owner = Returning()
    owner.tick(7.0)
    assert owner.background_fetch.next_deadline() == 7.0 + IDLE_SECONDS


def test_while_pages_at_risk_come_the_interval_is_busy() -> None:
    owner = Returning()
    owner.note(owner.put_and_send(ONE))
    owner.tick(1.0)
    assert owner.background_fetch.next_deadline() == 1.0 + BUSY_SECONDS


def test_while_recalled_pages_come_the_interval_is_busy() -> None:
    owner = Returning()
    owner.put_and_send(ONE, OTHER)
    owner.background_fetch.on_recall(owner.holder(ONE), 0, 0.1)
    owner.tick(1.0)
    assert owner.asked() == BLOCK_PAGES
    assert owner.background_fetch.next_deadline() == 1.0 + BUSY_SECONDS


def test_while_pages_come_for_room_the_interval_is_busy() -> None:
    owner = Returning()
    owner.put_and_send(ONE, OTHER)
    owner.tick(QUIET_SECONDS)
    assert owner.asked() == BLOCK_PAGES
    assert owner.background_fetch.next_deadline() == QUIET_SECONDS + BUSY_SECONDS


def test_when_all_has_come_the_interval_is_idle_again() -> None:
    owner = Returning()
    owner.note(owner.put_and_send(ONE))
    owner.tick(1.0)
    owner.arrive(1.0)
    # The first finds that no row is at risk any more.
    owner.tick(2.0)
    owner.tick(3.0)
    assert owner.background_fetch.next_deadline() == 3.0 + IDLE_SECONDS


def test_a_recall_is_looked_at_soon() -> None:
    owner = Returning()
    owner.put_and_send(ONE, OTHER, stays=True)
    owner.background_fetch.on_recall(owner.holder(ONE), 0, 0.1)
    assert owner.background_fetch.next_deadline() == 0.1 + BUSY_SECONDS
    owner.tick(0.1 + BUSY_SECONDS)
    assert owner.moved() == (0, BLOCK_PAGES, 0)


def test_a_recall_delays_no_tick_that_is_due_before() -> None:
    owner = Returning()
    now = IDLE_SECONDS - BUSY_SECONDS / 2
    owner.background_fetch.on_recall(owner.holder(ONE), 0, now)
    assert owner.background_fetch.next_deadline() == IDLE_SECONDS


# Whose get it was.


def test_what_was_at_risk_counts_as_rebuilt() -> None:
    owner = Returning()
    owner.note(owner.put_and_send(ONE))
    owner.tick(1.0)
    owner.arrive(1.0)
    assert owner.moved() == (BLOCK_PAGES, 0, 0)


def test_what_was_recalled_counts_as_retaken() -> None:
    owner = Returning()
    owner.put_and_send(ONE, OTHER)
    owner.background_fetch.on_recall(owner.holder(ONE), 0, 0.1)
    owner.tick(1.0)
    owner.arrive(1.0)
    assert owner.moved() == (0, BLOCK_PAGES, 0)


def test_what_there_was_room_for_counts_as_repatriated() -> None:
    owner = Returning()
    owner.put_and_send(ONE, OTHER)
    owner.tick(QUIET_SECONDS)
    owner.arrive(QUIET_SECONDS)
    assert owner.moved() == (0, 0, 0), "a clean copy, as yet"
    owner.tick(QUIET_SECONDS + 1)
    assert owner.moved() == (0, 0, BLOCK_PAGES)


def test_a_get_of_a_front_end_is_for_none_of_them() -> None:
    owner = Returning()
    owner.put_and_send(ONE)
    owner.leaf_fetch().fetch_leaf(FIRST_NODE, lambda _: True, 0.0, bytes_max=1 << 30)
    [pending] = owner.answer()
    assert not owner.background_fetch.on_done(pending)
    assert owner.moved() == (0, 0, 0)


def test_what_one_of_them_asked_for_no_other_asks_for() -> None:
    """Of three reasons to come home, the copy that was lost comes first."""
    owner = Returning()
    owner.note(owner.put_and_send(ONE))
    owner.background_fetch.on_recall(owner.holder(ONE), 0, 0.1)
    owner.tick(QUIET_SECONDS)
    assert owner.background_fetch.owner_recall.statistics().pages_in_flight == 0
    assert owner.background_fetch.repatriator.statistics().pages_in_flight == 0
    owner.arrive(QUIET_SECONDS)
    assert owner.moved() == (BLOCK_PAGES, 0, 0)


# What the configuration says.


def test_pages_at_risk_and_recalled_ones_have_the_rate_of_rebuild() -> None:
    owner = Returning(rebuild_rate=1, repatriate_rate=0)
    owner.note(owner.put_and_send(ONE, blocks=4))
    owner.put_and_send(OTHER, blocks=4)
    owner.background_fetch.on_recall(owner.holder(OTHER), 0, 0.1)
    owner.tick(0.9)
    assert owner.asked() == 0
    owner.tick(2.0)
    assert owner.asked() == 2 * LEAF_PAGES


def test_pages_come_for_room_at_a_rate_of_their_own() -> None:
    owner = Returning(repatriate_rate=0)
    owner.put_and_send(ONE, OTHER)
    owner.tick(QUIET_SECONDS)
    assert owner.asked() == 0


def test_a_node_that_drains_has_the_rate_of_rebuild() -> None:
    owner = Returning(repatriate_rate=0)
    owner.put_and_send(ONE, OTHER)
    owner.is_draining = True
    owner.tick(1.0)
    assert owner.asked() == BLOCK_PAGES


def test_without_pages_at_peers_none_comes_for_room() -> None:
    owner = Returning()
    owner.put_and_send(ONE, OTHER)
    owner.is_any_remote = False
    owner.tick(QUIET_SECONDS)
    assert owner.asked() == 0


def test_pages_come_for_room_below_a_part_of_the_low_watermark() -> None:
    owner = Returning(low=0.5)
    owner.put_and_send(ONE, OTHER, blocks=16)
    owner.tick(QUIET_SECONDS)
    assert owner.asked() == int(STAY_BELOW * 0.5 * 512)


def test_what_nobody_can_be_asked_for_does_not_come_for_room() -> None:
    owner = Returning()
    owner.put_and_send(ONE)
    owner.linked.clear()
    owner.tick(QUIET_SECONDS)
    assert owner.asked() == 0
