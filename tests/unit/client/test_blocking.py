"""The blocking client over a real socket: a caller's mistakes are the caller's, and no call hangs for ever."""

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ramsterd.client import PAGE_BYTES, Client, NotConnected, Pool, PoolKind
from tests.fakes.tmem_server import ServerThread

PAGE = b"p" * PAGE_BYTES


@pytest.fixture
def thread(tmp_path: Path) -> Iterator[ServerThread]:
    thread = ServerThread(tmp_path / "s")
    with thread.running():
        yield thread


@pytest.fixture
def client(thread: ServerThread) -> Iterator[Client]:
    with Client(thread.path, silence_seconds_max=20) as client:
        yield client


@pytest.fixture
def pool(client: Client) -> Pool:
    return client.new_pool(PoolKind.PERSISTENT)


def test_what_can_be_no_run_is_refused_and_the_private_pool_stays(pool: Pool) -> None:
    pool.put(b"o", 0, PAGE)
    for buffer in (b"", b"half a page"):
        with pytest.raises(ValueError, match="not one or more pages"):
            pool.put(b"o", 1, buffer)
    with pytest.raises(ValueError, match="no run within an object"):
        pool.get(b"o", -1)
    with pytest.raises(ValueError, match="an object id of 25 bytes"):
        pool.put(bytes(25), 0, PAGE)
    with pytest.raises(TypeError, match="can be written to"):
        pool.get_into(b"o", 0, PAGE)
    with pytest.raises(TypeError, match="an index is a whole number"):
        pool.get(b"o", 1.5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="an object id is bytes"):
        pool.put("o", 0, PAGE)  # type: ignore[arg-type]
    assert pool.get(b"o", 0) == [PAGE]


def test_a_wrong_item_of_many_is_told_before_any_is_put(pool: Pool) -> None:
    with pytest.raises(ValueError, match="not one or more pages"):
        pool.put_many([(b"a", 0, PAGE), (b"b", 0, b"short"), (b"c", 0, PAGE)])
    assert [pool.get(each, 0) for each in (b"a", b"b", b"c")] == [[None]] * 3


def test_an_iterable_of_items_may_ask_the_same_client(pool: Pool) -> None:
    pool.put(b"from", 0, PAGE * 3)
    items = ((b"to", index, pool.get(b"from", index)[0] or b"") for index in range(3))
    assert pool.put_many(items) == 3
    assert pool.get(b"to", 0, 3) == [PAGE] * 3


def test_another_thread_that_closes_the_client_wakes_a_call(
    thread: ServerThread, client: Client, pool: Pool
) -> None:
    outcomes: list[BaseException] = []

    def ask() -> None:
        try:
            pool.get(b"o", 0)
        except NotConnected as error:
            outcomes.append(error)

    thread.pager.is_delaying = True
    asking = threading.Thread(target=ask)
    asking.start()
    while not thread.pager.delayed:
        time.sleep(0.001)
    client.close()
    asking.join(10)
    assert len(outcomes) == 1, "the call would have waited for 20 s"
    assert not client.is_connected
    client.close()


def test_a_daemon_that_accepts_nobody_is_given_up(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(path)
        listener.listen(0)
        first.connect(path)
        with pytest.raises(NotConnected, match="no daemon at"):
            Client(path, silence_seconds_max=0.1)


def test_a_daemon_that_says_nothing_is_given_up(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        with pytest.raises(NotConnected, match="said nothing for"):
            Client(path, silence_seconds_max=0.1)
