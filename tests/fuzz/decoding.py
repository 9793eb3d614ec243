"""What a decoder of frames makes of bytes, for the targets that look at what stands in frames."""

from collections.abc import Mapping

from net.errors import RemoteProtocolError
from net.frame import Frame, FrameDecoder, FrameLimits


def decoded(stream: bytes, limits: Mapping[int, FrameLimits]) -> list[Frame]:
    """Return the frames of a stream, up to the first that is refused."""
    decoder = FrameDecoder(limits)
    stream = stream[: len(decoder.space())]
    decoder.space()[: len(stream)] = stream
    decoder.on_received(len(stream))
    found: list[Frame] = []
    try:
        found.extend(decoder.frames())
    except RemoteProtocolError:
        pass
    return found
