"""What a daemon answers, as callers get it."""

import pytest

from net.errors import RemoteProtocolError
from net.packing import pack_fields
from ramsterd.client.protocol import Request
from ramsterd.client.requests import opened_pool, status_of
from ramsterd.frontends.tmem.messages import TmemType


def answered(kind: TmemType, *fields: object) -> Request:
    return Request(kind, is_done=True, reply=pack_fields(fields))


def test_a_pool_and_a_status_are_read() -> None:
    assert opened_pool(answered(TmemType.NEW_POOL, 0xFFFF_FFFF, 0)) == (0xFFFF_FFFF, 0)
    assert status_of(answered(TmemType.STATUS, {"pages": 3})) == {"pages": 3}


@pytest.mark.parametrize(("number", "pages"), [(-1, 0), (1 << 32, 0), (1, -1)])
def test_a_pool_that_no_request_could_name_breaks_the_protocol(number: int, pages: int) -> None:
    with pytest.raises(RemoteProtocolError, match=f"pool {number} of {pages} pages"):
        opened_pool(answered(TmemType.NEW_POOL, number, pages))


@pytest.mark.parametrize("status", [{"pages": None}, {"pages": True}, {b"pages": 1}])
def test_a_status_of_anything_but_numbers_breaks_the_protocol(status: object) -> None:
    with pytest.raises(RemoteProtocolError, match="no numbers by name"):
        status_of(answered(TmemType.STATUS, status))
