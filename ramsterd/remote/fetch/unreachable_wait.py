"""What operators read of clients that wait for nodes which can't be reached.  Pure: `ramsterctl` says the same as the log."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreachableWait:
    """The requests of one export or pool that wait, the nodes that they wait for, and how long the oldest does."""

    pool: str
    is_export: bool
    nodes: tuple[str, ...]
    reads: int
    writes: int
    seconds: float

    @property
    def who(self) -> str:
        """Return what waits."""
        return f"{'export' if self.is_export else 'pool'} {self.pool}"

    def __str__(self) -> str:
        """Return it as operators read it."""
        names = " and ".join(self.nodes)
        waits = f"waits for node {names}" if len(self.nodes) == 1 else f"waits for nodes {names}"
        counts = [_counted(self.reads, "read"), _counted(self.writes, "write")]
        requests = ", ".join(each for each in counts if each)
        return f"{self.who} {waits}: {requests}, for {self.seconds:,.0f} s"


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}" if count else ""
