"""Whatever bytes come, and whatever programs do: the named error, or the right pages."""

import contextlib
import random

from hypothesis import event, given, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from net.errors import RemoteProtocolError
from net.frame import HEADER, encode_header
from ramsterd.client.errors import PoolFull, PoolGone
from ramsterd.client.protocol import ClientProtocol, Request, spread
from ramsterd.client.requests import (
    destroy_request,
    dropped_pages,
    flush_object_request,
    flush_request,
    get_requests,
    pages_of,
    put_requests,
    stored_pages,
)
from ramsterd.frontends.tmem.messages import (
    CODECS,
    PAGE_BYTES,
    REPLY_LIMITS,
    REQUEST_LIMITS,
    NewPool,
    PageState,
    PoolKind,
    TmemType,
    Welcome,
    encode_frame,
    hello,
    page_range,
    parse_error,
    place,
)
from ramsterd.frontends.tmem.pool_records import Quotas
from tests.fakes.tmem_pair import Pair, feed, take_replies

QUOTAS = Quotas(pool_pages_max=150, user_pages_max=250, user_objects_max=4, pools_per_user_max=3)
U32 = st.integers(0, (1 << 32) - 1)


@given(st.binary(max_size=400))
def test_any_bytes_are_served_or_break_the_protocol(data: bytes) -> None:
    pair = Pair()
    with contextlib.suppress(RemoteProtocolError):
        feed(pair.session, data)


@st.composite
def almost_requests(draw: st.DrawFn) -> bytes:
    """Draw frames of which most fields are right."""
    frames = b""
    for _ in range(draw(st.integers(1, 5))):
        frame_type = draw(st.sampled_from([*REQUEST_LIMITS] * 3 + [TmemType.ERROR]))
        count = draw(st.sampled_from([1, 1, 1, 1, 2, 2, 128, 0, 129]))
        pool = draw(st.sampled_from([1, 1, 1, 2, 0]))
        index = draw(st.sampled_from([0, 1, 63, 64, 64, (1 << 48) - 1, (1 << 64) - 1]))
        tables = [
            place(pool, b"o", index),
            page_range(pool, b"o", index, draw(st.sampled_from([0, 1, 64, 1 << 48]))),
            NewPool(
                draw(st.sampled_from(PoolKind)),
                draw(st.text(max_size=3)),
                draw(st.sampled_from(CODECS)),
                False,
            ).encode(),
            hello("x"),
            b"",
            draw(st.binary(max_size=50)),
        ]
        likely: dict[int, int] = {
            TmemType.FLUSH_PAGES: 1, TmemType.NEW_POOL: 2, TmemType.HELLO: 3, TmemType.STATUS: 4,
        }  # fmt: skip
        right = tables[likely.get(frame_type, 0)]
        table = draw(st.sampled_from(tables)) if draw(st.integers(0, 9)) == 9 else right
        body = bytes(count * PAGE_BYTES) if frame_type is TmemType.PUT and count < 128 else b""
        if frame_type not in {TmemType.PUT, TmemType.GET}:
            count = draw(st.integers(0, 9)) // 9
        frames += encode_header(
            frame_type,
            request_id=(draw(st.integers(0, 19)) + 1) % 20,
            count=count,
            table_bytes=len(table),
            body_bytes=len(body),
        )
        frames += table + body
    return frames[: len(frames) - draw(st.sampled_from([0, 0, 0, 1, 30]))]


@given(almost_requests(), st.integers(1, 5000))
def test_almost_valid_requests_are_answered_or_break_the_protocol(
    data: bytes, chunk_bytes: int
) -> None:
    pair = Pair()
    pair.new_pool()
    broke = False
    try:
        feed(pair.session, data, chunk_bytes)
    except RemoteProtocolError:
        broke = True
    replies = take_replies(pair.session)
    event(f"broke: {broke}, answered: {bool(replies)}")
    # Whatever is answered is well formed for the client's own decoder.
    while replies:
        *_, frame_type, flags, _, count, request_id, table_bytes, body_bytes = HEADER.unpack(
            replies[: HEADER.size]
        )
        limits = REPLY_LIMITS[frame_type]
        assert flags == 1
        assert request_id
        assert count <= limits.count_max
        assert table_bytes <= limits.table_bytes_max
        assert body_bytes <= limits.body_bytes_max
        replies = replies[HEADER.size + table_bytes + body_bytes :]
    pair.book.check_invariants()
    pair.session.close()
    pair.book.check_invariants()


@given(st.binary(max_size=300), st.integers(1, 100))
def test_any_bytes_to_a_client_are_replies_or_break_the_protocol(
    data: bytes, chunk_bytes: int
) -> None:
    receive(ClientProtocol(), data, chunk_bytes)


@st.composite
def almost_replies(draw: st.DrawFn) -> bytes:
    """Draw the replies to a GET of 5 pages with id 1 and a PUT of 2 with id 2, one field in ten wrong."""

    def mostly(right: int, wrong: int) -> int:
        return wrong if draw(st.integers(0, 9)) == 9 else right

    length = mostly(5, 6)
    states = bytes(draw(st.lists(st.integers(0, 3), min_size=length, max_size=length)))
    pages = mostly(states.count(PageState.PAGE), 6)
    get = encode_frame(
        TmemType.GET,
        mostly(1, 2),
        states,
        count=mostly(5, length),
        body_bytes=pages * PAGE_BYTES,
        is_reply=True,
    )
    put = encode_frame(TmemType.PUT, mostly(2, 9), count=mostly(2, 3), is_reply=True)
    table = bytes([mostly(4, 99)]) + draw(st.binary(max_size=4))
    last_word = encode_header(TmemType.ERROR, request_id=mostly(0, 2), table_bytes=len(table))
    parts = [get + bytes(pages * PAGE_BYTES), put, last_word + table]
    return b"".join(draw(st.permutations(parts)))


@given(almost_replies(), st.integers(1, 9000))
def test_almost_valid_replies_end_requests_or_break_the_protocol(
    data: bytes, chunk_bytes: int
) -> None:
    protocol = ClientProtocol()
    target = bytearray(5 * PAGE_BYTES)
    (get,) = get_requests(1, b"o", 0, target)
    (put,) = put_requests(1, b"o", 0, bytes(2 * PAGE_BYTES))
    protocol.begin(get)
    protocol.begin(put)
    done = receive(protocol, data, chunk_bytes)
    event(f"done: {len(done)}")
    assert all(request.is_done for request in done)
    assert {id(each) for each in protocol.waiting.values()}.isdisjoint(id(each) for each in done)


def receive(protocol: ClientProtocol, data: bytes, chunk_bytes: int) -> list[Request]:
    done: list[Request] = []
    with contextlib.suppress(RemoteProtocolError):
        while data:
            space = protocol.space()
            assert len(space)
            count = min(len(space), len(data), chunk_bytes)
            space[:count] = data[:count]
            data = data[count:]
            done += protocol.on_received(count)
    return done


@given(st.binary(max_size=60))
def test_any_error_and_any_welcome_are_parsed_or_break_the_protocol(data: bytes) -> None:
    with contextlib.suppress(RemoteProtocolError):
        parse_error(data)
    with contextlib.suppress(RemoteProtocolError):
        Welcome.parse(data)


@given(st.lists(st.sampled_from(PageState), min_size=1, max_size=12))
def test_pages_are_moved_apart_to_where_they_belong(found: list[PageState]) -> None:
    states = bytes(found)
    pages = [bytes([number + 1]) * PAGE_BYTES for number in range(len(states))]
    there = [page for page, state in zip(pages, states, strict=True) if state == PageState.PAGE]
    target = bytearray(b"\xff" * (len(states) * PAGE_BYTES))
    target[: len(there) * PAGE_BYTES] = b"".join(there)
    spread(memoryview(target), states)
    expected = [
        page if state == PageState.PAGE else bytes(PAGE_BYTES)
        for page, state in zip(pages, states, strict=True)
    ]
    assert target == b"".join(expected)


OBJECTS = st.sampled_from([b"", b"a", b"b" * 24, b"c", b"d"])
INDEXES = st.one_of(st.integers(0, 200), st.integers((1 << 48) - 40, (1 << 48) - 40))
COUNTS = st.integers(1, 40)


class Programs(RuleBasedStateMachine):
    """Two connections of one user against a dict for each pool."""

    def __init__(self) -> None:
        super().__init__()
        self.first = Pair(quotas=QUOTAS)
        self.second = Pair(pager=self.first.pager, book=self.first.book)
        self.rng = random.Random(0)
        self.version = 0
        # By name: what the pool should have.  By connection and number: which pool.
        self.models: dict[str, dict[tuple[bytes, int], bytes]] = {}
        self.open: list[tuple[Pair, int, str]] = []
        self.pools = 0

    @rule(second=st.booleans(), name=st.sampled_from(["", "x", "y"]))
    def new_pool(self, second: bool, name: str) -> None:
        pair = self.second if second else self.first
        kind = PoolKind.EPHEMERAL if name == "y" else PoolKind.PERSISTENT
        # A name that was destroyed and made again is another pool.
        key = next((each for each in self.models if name and each.startswith(name)), None)
        if key is None:
            if len(self.models) >= QUOTAS.pools_per_user_max:
                return
            self.pools += 1
            key = f"{name or 'private'} {self.pools}"
        number = pair.new_pool(kind, name)
        self.models.setdefault(key, {})
        self.open.append((pair, number, key))

    @precondition(lambda self: self.open)
    @rule(data=st.data(), object_id=OBJECTS, index=INDEXES, count=COUNTS)
    def put(self, data: st.DataObject, object_id: bytes, index: int, count: int) -> None:
        pair, number, key = data.draw(st.sampled_from(self.open))
        self.version += 1
        pages = [
            (self.version * 1000 + each).to_bytes(8, "little") * (PAGE_BYTES // 8)
            for each in range(count)
        ]
        model = self.models.get(key)
        after = dict(model or {})
        after |= {(object_id, index + each): page for each, page in enumerate(pages)}
        # A run of 40 pages is cut into two frames, of which the first may fit into a quota alone.
        buffer = b"".join(pages)
        try:
            stored = stored_pages(pair.run_all(put_requests(number, object_id, index, buffer)))
        except PoolGone:
            assert model is None
            return
        except PoolFull:
            assert model is not None
            total = sum(len(each) for each in self.models.values())
            objects = {(name, each[0]) for name, some in self.models.items() for each in some}
            more = len(after) - len(model)
            assert (
                len(after) > QUOTAS.pool_pages_max
                or total + more > QUOTAS.user_pages_max
                or len(objects) >= QUOTAS.user_objects_max
            )
            found = self.look(pair, number, object_id, index, count)
            for each, page in enumerate(found):
                if page == pages[each]:
                    model[object_id, index + each] = page
            return
        assert model is not None
        assert stored == count
        self.models[key] = after

    def look(
        self, pair: Pair, number: int, object_id: bytes, index: int, count: int
    ) -> list[bytes | None]:
        buffer = bytearray(count * PAGE_BYTES)
        return pages_of(pair.run_all(get_requests(number, object_id, index, buffer)))

    @precondition(lambda self: self.open)
    @rule(data=st.data(), object_id=OBJECTS, index=INDEXES, count=COUNTS)
    def get(self, data: st.DataObject, object_id: bytes, index: int, count: int) -> None:
        pair, number, key = data.draw(st.sampled_from(self.open))
        model = self.models.get(key)
        try:
            found = self.look(pair, number, object_id, index, count)
        except PoolGone:
            assert model is None
            return
        assert model is not None
        assert found == [model.get((object_id, index + each)) for each in range(count)]

    @precondition(lambda self: self.open)
    @rule(data=st.data(), object_id=OBJECTS, index=INDEXES, count=st.sampled_from([1, 40, None]))
    def flush(self, data: st.DataObject, object_id: bytes, index: int, count: int | None) -> None:
        pair, number, key = data.draw(st.sampled_from(self.open))
        model = self.models.get(key)
        request = (
            flush_object_request(number, object_id)
            if count is None
            else flush_request(number, object_id, index, count)
        )
        pair.run(request)
        if model is None:
            assert request.error is not None
            return
        gone = [
            each
            for each in model
            if each[0] == object_id and (count is None or index <= each[1] < index + count)
        ]
        assert dropped_pages(request) == len(gone)
        for each in gone:
            del model[each]

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def destroy(self, data: st.DataObject) -> None:
        place_of = data.draw(st.integers(0, len(self.open) - 1))
        pair, number, key = self.open[place_of]
        request = destroy_request(number)
        pair.send(request)
        pair.sweep()
        pair.receive()
        model = self.models.pop(key, None)
        if model is None:
            assert request.error is not None
        else:
            assert dropped_pages(request) == len(model)
            del self.open[place_of]

    @precondition(lambda self: self.open)
    @rule()
    def second_reconnects(self) -> None:
        self.second.session.close()
        self.first.sweep()
        for pair, _, key in list(self.open):
            if pair is self.second and key.startswith("private"):
                self.models.pop(key, None)
        self.open = [each for each in self.open if each[0] is not self.second]
        self.second = Pair(pager=self.first.pager, book=self.first.book)

    @invariant()
    def books_balance(self) -> None:
        self.first.book.check_invariants()
        total = sum(len(each) for each in self.models.values())
        assert len(self.first.pager.pages) == total


Programs.TestCase.settings = settings(max_examples=60, stateful_step_count=30)
TestPrograms = Programs.TestCase
