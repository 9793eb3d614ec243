"""What tests of links share: a HELLO, limits, frames as bytes, and a handler that writes down what it is told."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from config.model import TimersConfig
from net.connection import ConnectionLimits
from net.frame import Frame, FrameDecoder, FrameLimits, encode_header
from net.hello import Hello
from net.judgement import Accepted, Judgement, Undecided
from net.link import Failure, Link
from net.transport import Stream
from nodemanager.ids import Incarnation, NodeId

ASK = 16
TELL = 17
LIMITS = {ASK: FrameLimits(64, 1024, 300_000), TELL: FrameLimits(64, 1024, 300_000)}
CONNECTION_LIMITS = ConnectionLimits(
    keepalive_seconds=2.0, idle_seconds=30.0, requests_in_flight_max=4
)


def make_hello(number: int = 1, **changes: object) -> Hello:
    hello = Hello(
        cluster="lab",
        number=NodeId(number),
        name=f"node{number}",
        incarnation=Incarnation(1000 + number),
        unit_bytes=4096,
        codecs=("lz4",),
        timers=TimersConfig(),
    )
    return replace(hello, **changes)  # type: ignore[arg-type]  # a test names fields freely


def make_frame(
    frame_type: int,
    count: int = 0,
    table: bytes = b"",
    body: bytes = b"",
    *,
    request_id: int = 0,
    is_reply: bool = False,
) -> bytes:
    header = encode_header(
        frame_type,
        request_id=request_id,
        is_reply=is_reply,
        count=count,
        table_bytes=len(table),
        body_bytes=len(body),
    )
    return header + table + body


@dataclass(frozen=True)
class Seen:
    """A frame as plain values, for comparing after its views have gone."""

    type: int
    is_reply: bool
    request_id: int
    count: int
    table: bytes
    body: bytes


def seen(frame: Frame) -> Seen:
    return Seen(
        frame.type,
        frame.is_reply,
        frame.request_id,
        frame.count,
        bytes(frame.table),
        bytes(frame.body),
    )


def feed(decoder: FrameDecoder, data: bytes) -> list[Seen]:
    """Give all of `data` to the decoder as a reader does, and return the frames."""
    found: list[Seen] = []
    rest = memoryview(data)
    while True:
        space = decoder.space()
        taken = min(len(space), len(rest))
        space[:taken] = rest[:taken]
        rest = rest[taken:]
        decoder.on_received(taken)
        found.extend(seen(frame) for frame in decoder.frames())
        if not rest:
            return found


def decode_one(data: bytes, limits: dict[int, FrameLimits] | None = None) -> Frame:
    decoder = FrameDecoder(LIMITS if limits is None else limits)
    space = decoder.space()
    space[: len(data)] = data
    decoder.on_received(len(data))
    (frame,) = decoder.frames()
    return frame


def accept(theirs: Hello, doubt: Undecided | None) -> Judgement:
    return Accepted()


class Diary:
    """A LinkHandler that writes down what it is told; `answer` may react to frames."""

    def __init__(self, answer: Callable[[Link, Frame], None] | None = None) -> None:
        self.up: list[int] = []
        self.frames: list[Seen] = []
        # How often something came that is for the link alone.
        self.signs_of_life = 0
        self.failures: list[tuple[int, Failure]] = []
        self.lost: list[tuple[int, str]] = []
        # Names of the calls, in order.
        self.calls: list[str] = []
        self._answer = answer

    def on_link_up(self, link: Link) -> None:
        self.calls.append("up")
        self.up.append(link.node)

    def on_frames(self, link: Link, frames: list[Frame]) -> None:
        if not frames:
            self.signs_of_life += 1
            return
        self.calls.append("frames")
        for frame in frames:
            self.frames.append(seen(frame))
            if self._answer is not None:
                self._answer(link, frame)

    def on_requests_failed(self, link: Link, failures: list[tuple[int, Failure]]) -> None:
        self.calls.append("failed")
        self.failures.extend(failures)

    def on_link_lost(self, link: Link, reason: str) -> None:
        self.calls.append("lost")
        self.lost.append((link.node, reason))


class PlayedPeer:
    """The other side in the hands of the test: raw bytes out, frames in."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self._decoder = FrameDecoder(LIMITS)

    def say(self, *frames: bytes) -> None:
        data = b"".join(frames)
        assert self.stream.send_nowait([data]) == len(data)

    async def hear(self) -> list[Seen]:
        """Return the frames that are here, or the next that come; [] at the end of the stream."""
        count = await self.stream.receive_into(self._decoder.space())
        self._decoder.on_received(count)
        return [seen(frame) for frame in self._decoder.frames()]
