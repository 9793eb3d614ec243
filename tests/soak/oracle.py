"""What a client of the soak knows of its pages, and may therefore get."""

import random
from collections.abc import Iterable
from typing import Final

PAGE_BYTES: Final = 4096
# Stands for a page that is not there: zeros on a disk, a miss in a pool.
HOLE: Final = 0
ZPAGE_BYTES: Final = (200, 900, 1800, 3000, PAGE_BYTES)


class WrongPage(AssertionError):
    """A page that nobody may get: an older one, somebody else's, or none where there must be one."""


def make_page(client: str, index: int, version: int) -> bytes:
    """Return the page that a client put as this version: noise of some length, then zeros."""
    rng = random.Random(f"{client} {index} {version}")
    noise = rng.randbytes(rng.choice(ZPAGE_BYTES))
    return noise + bytes(PAGE_BYTES - len(noise))


class Oracle:
    """The pages of one client, by index: which versions each may have."""

    def __init__(self, client: str, *, may_vanish: bool) -> None:
        self.client = client
        self._may_vanish = may_vanish
        self._last_version = HOLE
        self._possible: dict[int, frozenset[int]] = {}
        # A put of these was refused: they may answer with an error until they are put again or flushed.
        self.losable: set[int] = set()

    def new_run(self, index: int, count: int) -> tuple[list[int], bytes]:
        """Return new versions for a run, and its bytes."""
        versions = [self._last_version + 1 + each for each in range(count)]
        self._last_version += count
        pages = (
            make_page(self.client, index + place, version) for place, version in enumerate(versions)
        )
        return versions, b"".join(pages)

    def on_put(self, index: int, versions: Iterable[int]) -> None:
        """A put of a run was acknowledged."""
        for place, version in enumerate(versions, index):
            self._possible[place] = frozenset([version])
            self.losable.discard(place)

    def on_unknown(self, index: int, versions: Iterable[int]) -> None:
        """Nobody knows whether a run was put, or flushed (`HOLE`): each of its pages may be as it was, or so."""
        for place, version in enumerate(versions, index):
            before = self._possible.get(place, frozenset([HOLE]))
            self._possible[place] = before | {version}

    def on_refused(self, index: int, versions: Iterable[int]) -> None:
        """A put of a run was refused: some of it may be stored, and nothing that stood there may be seen."""
        for place, version in enumerate(versions, index):
            before = self._possible.get(place, frozenset([HOLE]))
            self._possible[place] = frozenset([version]) | (before & {HOLE})
            self.losable.add(place)

    def on_flush(self, index: int, count: int) -> None:
        """A run was flushed."""
        for place in range(index, index + count):
            self._possible[place] = frozenset([HOLE])
            self.losable.discard(place)

    def check(self, index: int, pages: Iterable[bytes | None]) -> None:
        """Judge what a get of a run gave; None is a hole.

        Raises:
            WrongPage: It is nothing that may be there.
        """
        for place, page in enumerate(pages, index):
            possible = self._possible.get(place, frozenset([HOLE]))
            if page is None:
                if not (self._may_vanish or HOLE in possible):
                    raise WrongPage(f"{self.client}: page {place} is gone, it was {set(possible)}")
            elif not any(
                version != HOLE and page == make_page(self.client, place, version)
                for version in possible
            ):
                raise WrongPage(f"{self.client}: page {place} is none of {set(possible)}")

    def check_error(self, index: int, count: int, error: Exception) -> None:
        """Judge an error that a get of a run gave.

        Raises:
            WrongPage: No page of the run may be lost.
        """
        if not any(place in self.losable for place in range(index, index + count)):
            raise WrongPage(
                f"{self.client}: pages {index} to {index + count - 1}: {error}"
            ) from error
