"""Background fetch: pages that this node fetches back although no client reads them.

There are three reasons: a copy was lost (`rebuild`), a holder recalls its memory (`owner_recall`),
or this node has room again (`repatriate`).
"""

from functools import partial
from typing import Final

from config.model import RemoteConfig
from ramsterd.core.store import Store
from ramsterd.host.slack import slack_of
from ramsterd.remote.fetch.fetch import Fetches
from ramsterd.remote.fetch.pending import PendingGet
from ramsterd.remote.holders.holders import Holder
from ramsterd.remote.home.leaf_fetch import LeafFetch
from ramsterd.remote.home.rebuild import Rebuilder
from ramsterd.remote.home.recall_owner import OwnerRecall
from ramsterd.remote.home.repatriate import Repatriator
from ramsterd.remote.home.surroundings import Surroundings
from ramsterd.remote.limits.page_rate import PageRate

# Between two ticks, as long as pages are on their way, and when none are.
BUSY_SECONDS: Final = 0.05
IDLE_SECONDS: Final = 0.5
_IDLE_SLACK: Final = slack_of(IDLE_SECONDS)


class BackgroundFetch:
    """The three machines, and their one clock."""

    def __init__(
        self,
        store: Store,
        fetches: Fetches,
        surroundings: Surroundings,
        remote: RemoteConfig,
    ) -> None:
        """Begin with nothing to fetch."""
        leaf_fetch = partial(LeafFetch, store, fetches, fetch_seconds_max=remote.fetch_seconds_max)
        # Each fetches as much as the other.
        rates = PageRate(remote.rebuild_pages_per_second), PageRate(remote.rebuild_pages_per_second)
        self._rates = rates
        self.rebuilder = Rebuilder(store, leaf_fetch(), surroundings, rates[0])
        self.owner_recall = OwnerRecall(store, leaf_fetch(), surroundings, rates[1])
        self.repatriator = Repatriator(
            store,
            leaf_fetch(),
            is_reachable=lambda row: (
                surroundings.copies_at(tuple(store.rows.holders(row))).reachable > 0
            ),
            quiet_seconds=remote.repatriate_seconds,
            pages_per_second_max=remote.repatriate_pages_per_second,
            eager_pages_per_second=remote.rebuild_pages_per_second,
        )
        self._machines = (self.rebuilder, self.owner_recall, self.repatriator)
        self._tick_at = 0.0
        self._is_busy = True

    def set_rates(self, remote: RemoteConfig) -> None:
        """Change how many pages a second are fetched."""
        for rate in self._rates:
            rate.set_rate(remote.rebuild_pages_per_second)
        self.repatriator.set_rates(
            pages_per_second_max=remote.repatriate_pages_per_second,
            eager_pages_per_second=remote.rebuild_pages_per_second,
        )

    def on_recall(self, holder: Holder, pages_max: int, now: float) -> None:
        """A holder is ready to keep so many pages of ours."""
        self.owner_recall.on_recall(holder, pages_max)
        self._tick_at = min(self._tick_at, now + BUSY_SECONDS)
        self._is_busy = True

    def next_deadline(self) -> float:
        """Return when the next tick is due."""
        return self._tick_at

    def last_deadline(self) -> float:
        """Return when it is to be done at the latest: while nothing is fetched it has slack."""
        return self._tick_at if self._is_busy else self._tick_at + _IDLE_SLACK

    def on_deadline(
        self, now: float, *, left_total: int, is_any_remote: bool, is_draining: bool
    ) -> None:
        """Do a tick's share, if it is due.

        Args:
            now: Monotonic seconds.
            left_total: How many pages of ours ever left.
            is_any_remote: Whether peers have pages that may be repatriated.
            is_draining: Whether they have to, for this node gives up its place.
        """
        if now < self._tick_at:
            return
        self.rebuilder.on_tick(now)
        self.owner_recall.on_tick(now)
        self.repatriator.on_tick(
            now=now, left_total=left_total, is_remote=is_any_remote, is_eager=is_draining
        )
        self._is_busy = any(each.is_busy for each in self._machines)
        self._tick_at = now + (BUSY_SECONDS if self._is_busy else IDLE_SECONDS)

    def on_done(self, pending: PendingGet) -> bool:
        """Whether a get that ended was for one of these."""
        return any(each.on_done(pending) for each in self._machines)
