"""What programs do with memory: as a kernel swaps, as a cache fills and takes, and more than there is room for.

A program draws operations; its clients judge the answers (`checking_clients.Client`).  Nothing here waits: answers come
when they come, so that faults meet operations half way.
"""

import random
from dataclasses import dataclass, field
from typing import ClassVar, Final, Protocol

from ramsterd.core.page import PoolKind
from tests.simulation.checking_clients import Client, RunningGet
from tests.simulation.cluster import Cluster

# A kernel reads ahead eight pages, and writes in clusters of up to 32.
READ_PAGES: Final = 8
WRITE_PAGES_MAX: Final = 32
PUTS_WAITING_MAX: Final = 8
GETS_WAITING_MAX: Final = 32
# Most accesses go to a fifth of the pages.
HOT_PART: Final = 5
HOT_CHANCE: Final = 0.8


class Program(Protocol):
    """One program on one incarnation of a node."""

    name: ClassVar[str]
    client: Client

    def load(self) -> bool:
        """Put some more of what it begins with; return whether there was any."""
        ...

    def act(self) -> None:
        """Do one thing."""
        ...


@dataclass(slots=True)
class _Program:
    """What all have in common."""

    cluster: Cluster
    number: int
    rng: random.Random
    pages: int
    kind: ClassVar[PoolKind] = PoolKind.PERSISTENT
    client: Client = field(init=False)
    # How many pages it has put to begin with.
    _loaded: int = 0

    def __post_init__(self) -> None:
        self.client = Client(self.cluster, self.number, expects_unreachable=True, kind=self.kind)

    def load(self) -> bool:
        if self._loaded >= self.pages:
            return False
        if len(self.client.puts) < PUTS_WAITING_MAX:
            count = min(WRITE_PAGES_MAX, self.pages - self._loaded)
            self.client.put(self._loaded, count)
            self._loaded += count
        return True

    def put(self, index: int, count: int) -> None:
        if len(self.client.puts) < PUTS_WAITING_MAX:
            self.client.put(index, count)

    def get(self, index: int, count: int) -> RunningGet | None:
        return self.client.get(index, count) if len(self.client.gets) < GETS_WAITING_MAX else None


@dataclass(slots=True)
class Swap(_Program):
    """Hot and cold pages, read in aligned runs of eight, written in clusters, trimmed now and then."""

    name: ClassVar[str] = "swap"

    def act(self) -> None:
        what = self.rng.random()
        if what < 0.5:
            self.get(self._index() // READ_PAGES * READ_PAGES, READ_PAGES)
        elif what < 0.9:
            self.put(self._index(), self.rng.randint(1, WRITE_PAGES_MAX))
        else:
            self.client.flush_unless_put(self._index(), self.rng.choice([1, 8, 64]))

    def _index(self) -> int:
        is_hot = self.rng.random() < HOT_CHANCE
        return self.rng.randrange(self.pages // HOT_PART if is_hot else self.pages)


@dataclass(slots=True)
class Cache(_Program):
    """Ephemeral pages; a get takes what it finds, as cleancache does."""

    name: ClassVar[str] = "cache"
    kind: ClassVar[PoolKind] = PoolKind.EPHEMERAL
    _taking: list[RunningGet] = field(default_factory=list)

    def act(self) -> None:
        self._take()
        index = self.rng.randrange(self.pages)
        if self.rng.random() < 0.5:
            self.put(index, self.rng.choice([1, 8, WRITE_PAGES_MAX]))
        elif (get := self.get(index, self.rng.choice([1, 4, 16]))) is not None:
            self._taking.append(get)

    def _take(self) -> None:
        """Flush what gets have brought: they are exclusive."""
        done = [get for get in self._taking if get.result is not None]
        self._taking = [get for get in self._taking if get.result is None]
        for get in done:
            self.client.flush_unless_put(get.index, len(get.possible))


@dataclass(slots=True)
class Thrash(_Program):
    """No page is hotter than another, and there are more of them than memory."""

    name: ClassVar[str] = "thrash"

    def act(self) -> None:
        index = self.rng.randrange(self.pages)
        if self.rng.random() < 0.5:
            self.put(index, self.rng.choice([1, 4, WRITE_PAGES_MAX]))
        else:
            self.get(index, self.rng.choice([1, 4, 16]))
