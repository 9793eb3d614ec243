"""Pool copies: on how many peers the pages of each pool are kept.

A pool follows its own config, or else the number of nodes: two copies with two or more peers that
keep pages, else one.
Two copies in a cluster that has shrunk to two nodes would keep every page on its own node.
"""

from config.copies import default_copies
from config.model import ClusterConfig
from ramsterd.core.family import Family
from ramsterd.core.page import PoolId
from ramsterd.core.store import Store


class PoolCopies:
    """Which pools follow the cluster."""

    def __init__(self, store: Store, cluster: ClusterConfig, *, configured: int) -> None:
        """Begin without pools.

        `configured` is of those that say nothing themselves (0: as many as the cluster allows).
        """
        self._store = store
        self._configured = configured
        self._default = default_copies(cluster)
        self._followers: list[PoolId] = []

    def wanted(self, asked: int) -> int:
        """Return the copies of a new pool that asks for so many (0: as the config says)."""
        return asked or self._configured or self._default

    def on_pool(self, pool: PoolId, asked: int) -> None:
        """A pool was made that asked for so many."""
        if not (asked or self._configured):
            self._followers = [each for each in self._followers if each in self._store.pools]
            self._followers.append(pool)

    def on_members(self, cluster: ClusterConfig) -> bool:
        """The members have changed; return whether some pools want more copies than before."""
        before, self._default = self._default, default_copies(cluster)
        for pool, copies in self._following(cluster).items():
            self._store.set_copies(pool, copies)
        return bool(self._followers) and self._default > before

    def most_with(self, cluster: ClusterConfig) -> int:
        """Return the most copies that are wanted with other members: by our pools with pages, and by those that say nothing."""
        following = self._following(cluster)
        of_pools = (
            following.get(pool.pool, pool.copies)
            for pool in self._store.pools
            if pool.family is Family.OWN_PERSISTENT and pool.tally.pages
        )
        return max((self._configured or default_copies(cluster), *of_pools))

    def _following(self, cluster: ClusterConfig) -> dict[PoolId, int]:
        """Return the copies that pools which follow the cluster want with such members."""
        copies = default_copies(cluster)
        return {pool: copies for pool in self._followers if pool in self._store.pools}
