"""Where membership is kept.  The cluster file is the embedded default."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from config.model import ClusterConfig


class MembershipStore(Protocol):
    """Keeps who belongs to the cluster.

    Planned, with `ramsterctl node add`: `save(cluster)`, which must be atomic, and `watch()`, which reports what
    other writers saved.  A store in etcd will implement the same three.
    """

    def load(self) -> ClusterConfig:
        """Return the membership as it is now.

        Raises:
            ConfigError: What is kept is not a valid cluster, or can't be read.
        """
        ...


class FileMembership:
    """Membership in `cluster.toml`, the same file on every node."""

    def __init__(self, path: Path, *, loader: Callable[[Path], ClusterConfig]) -> None:
        """Keep where to read.

        Args:
            path: The cluster file.
            loader: `config.load.load_cluster`; a parameter so that this module reads nothing by itself.
        """
        self._path = path
        self._loader = loader

    def load(self) -> ClusterConfig:
        """Read and check the file.

        Raises:
            ConfigError: As the loader raises it.
        """
        return self._loader(self._path)
