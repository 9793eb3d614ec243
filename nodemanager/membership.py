"""Where membership is kept.  The cluster file is the embedded default."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from config.errors import ConfigError
from config.model import ClusterConfig


class MembershipStore(Protocol):
    """Keeps who belongs to the cluster.  A store in etcd (planned) will implement the same two, and a `watch()`."""

    def load(self) -> ClusterConfig:
        """Return the membership as it is now.

        Raises:
            ConfigError: What is kept is not a valid cluster, or can't be read.
        """
        ...

    def save(self, cluster: ClusterConfig, *, known: ClusterConfig) -> None:
        """Keep new members, at once and whole or not at all.

        Args:
            cluster: What is to be kept.
            known: What the caller believes to be kept now.

        Raises:
            ConfigError: It can't be kept, or somebody else changed it; then it is as it was.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreCheck:
    """What a look at the store found; both empty: it holds what we believe."""

    # What is wrong with it.
    problem: str = ""
    # That somebody else changed it, and how: it is not taken over.
    edited: str = ""


class FileMembership:
    """Membership in `cluster.toml`, the same file on every node.

    A file that somebody changed by hand since it was read is left alone: to write our members into
    it would also bring in what nobody has checked.  New comments alone are no such change.
    """

    def __init__(
        self,
        path: Path,
        *,
        loader: Callable[[Path], ClusterConfig],
        rewriter: Callable[[Path, ClusterConfig], None],
    ) -> None:
        """Keep where to read and write.

        Args:
            path: The cluster file.
            loader: `config.load.load_cluster`; a parameter so that this module does no I/O by
                itself.
            rewriter: `config.save.save_members`, likewise.
        """
        self._path = path
        self._loader = loader
        self._rewriter = rewriter

    def load(self) -> ClusterConfig:
        """Read and check the file.

        Raises:
            ConfigError: As the loader raises it.
        """
        return self._loader(self._path)

    def save(self, cluster: ClusterConfig, *, known: ClusterConfig) -> None:
        """Write the members and their version into the file; all else in it stays.

        Raises:
            ConfigError: As loader and rewriter raise it, or the file says something else than
                `known`.
        """
        found = self._loader(self._path).in_order()
        if found == cluster.in_order():
            return  # another node of this machine shares the file and was first
        if found != known.in_order():
            raise ConfigError(
                str(self._path),
                "",
                "a change made by hand while the daemon runs",
                "the file as it was read; put it back, or start the daemon again",
            )
        self._rewriter(self._path, cluster)
