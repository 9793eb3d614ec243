import os
import resource
from collections.abc import Iterator

import pytest

from config.limits import NODES_MAX
from net.listener import GREETINGS_MAX
from ramsterd.admin import socket
from ramsterd.endpoints.descriptors import (
    RESERVED_MAX,
    UNLIMITED,
    Descriptors,
    raise_limit,
    statistics_of,
)
from ramsterd.observe import metrics_server


@pytest.fixture
def limit() -> Iterator[tuple[int, int]]:
    """Give this process's limit, and set it back."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield before
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_half_is_kept_back_where_there_are_few() -> None:
    descriptors = Descriptors(256)
    assert (descriptors.reserved, descriptors.clients_max) == (128, 128)
    assert not descriptors.is_reserved(127)
    assert descriptors.is_reserved(128)


def test_what_is_kept_back_serves_the_largest_cluster() -> None:
    others = GREETINGS_MAX + socket.CONNECTIONS_MAX + metrics_server.CONNECTIONS_MAX
    assert NODES_MAX + others + 256 <= RESERVED_MAX
    # And where there are few, three nodes and the files of the daemon.
    assert others + 16 <= Descriptors(256).reserved
    assert Descriptors(65536).reserved == RESERVED_MAX


def test_the_soft_limit_is_raised_to_the_hard_one(limit: tuple[int, int]) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, limit[1]))
    assert raise_limit() == Descriptors(limit[1])
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (limit[1], limit[1])


def test_a_limit_that_can_not_be_raised_is_the_limit(
    limit: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda _: (300, resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert raise_limit() == Descriptors(300)
    monkeypatch.setattr(resource, "setrlimit", lambda *_: None)
    assert raise_limit() == Descriptors(UNLIMITED)


def test_the_lowest_free_one_is_what_the_next_will_be(limit: tuple[int, int]) -> None:
    some = Descriptors(1 << 20)
    before = statistics_of(some).lowest_free
    descriptor = os.open(os.devnull, os.O_RDONLY)
    try:
        assert descriptor == before
        assert statistics_of(some).lowest_free > before
        resource.setrlimit(resource.RLIMIT_NOFILE, (1, limit[1]))
        assert statistics_of(Descriptors(1)).lowest_free == 1, "none is free"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)
        os.close(descriptor)
