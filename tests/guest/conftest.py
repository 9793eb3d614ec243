"""What tests of guests share: the clusters of tests/system, and guests that are ended and shown."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.guest.image import Image
from tests.guest.machine import Guest
from tests.guest.ways import Boot
from tests.system.conftest import hosts, new_cluster, sockets  # noqa: F401  fixtures

SHOWN_CHARACTERS = 12_000


@pytest.fixture
def boot(tmp_path: Path) -> Iterator[Boot]:
    """Yield `Guest` that names its own console; it is ended after the test, and its console is shown."""
    guests: list[Guest] = []

    def start(
        image: Image,
        words: str,
        devices: Sequence[str],
        *,
        mebibytes: int,
        prefix: Sequence[str] = (),
    ) -> Guest:
        console = tmp_path / f"console{len(guests)}"
        guests.append(Guest(image, console, words, devices, mebibytes=mebibytes, prefix=prefix))
        return guests[-1]

    yield start
    for guest in guests:
        guest.end()
        sys.stdout.write(guest.said[-SHOWN_CHARACTERS:])
