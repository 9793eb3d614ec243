"""Spot checks: a peer is asked for one of the pages that it lately said it stored.

Some of what it stored is remembered, drawn evenly: `SAMPLES` pages of all blocks since the last
check.  When it is due (`trust`), one of those that are still what they were is asked for, by a GET
of its own: an ordinary get might go to another holder.  An intact page proves the peer; what is
missing or damaged does the contrary, and is handled as any bad copy.  No answer says nothing: it is
asked again, and gets no more than its credit until it answers.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from net.frame import Frame
from ramsterd.core.rows import Rows
from ramsterd.remote.fetch.arrival import verified
from ramsterd.remote.fetch.asking import FetchRequest
from ramsterd.remote.holders.holders import Holder
from ramsterd.remote.holders.trust import BadCopy, Trust
from ramsterd.remote.wire import parse_get_reply

# So many that some are left when most of what was written is written again.
SAMPLES: Final = 8


@dataclass(slots=True)
class _Samples:
    """(row, serial) of some pages of one holder, and of how many blocks they were drawn."""

    pages: list[tuple[int, int]]
    blocks: int = 0


class SpotChecks:
    """What is remembered of each holder, and the checks under way."""

    def __init__(
        self,
        rows: Rows,
        trust: Trust,
        *,
        rng: random.Random,
        on_bad_copy: Callable[[int, int, BadCopy, float], None],
    ) -> None:
        """Begin with nothing to check; `on_bad_copy` is told holder id, row, kind and time."""
        self._rows = rows
        self._trust = trust
        self._rng = rng
        self._on_bad_copy = on_bad_copy
        self._samples: dict[int, _Samples] = {}
        # By request id: the holder, and the page that it was asked for.
        self._under_way: dict[int, tuple[Holder, FetchRequest]] = {}
        self._judged = 0
        self._unanswered = 0

    def on_stored(self, holder: Holder, rows: Sequence[int], serials: Sequence[int]) -> None:
        """A holder says that it stored a block."""
        self._trust.on_stored(holder.node, len(rows))
        samples = self._samples.setdefault(holder.id, _Samples([]))
        samples.blocks += 1
        place = self._rng.randrange(len(rows))
        page = rows[place], serials[place]
        if len(samples.pages) < SAMPLES:
            samples.pages.append(page)
        elif (instead := self._rng.randrange(samples.blocks)) < SAMPLES:
            samples.pages[instead] = page

    def forget(self, holder: int) -> None:
        """An incarnation ended."""
        self._samples.pop(holder, None)

    # Asking.

    def next_check(self, holder: Holder, *, is_sending: bool) -> FetchRequest | None:
        """Return what to ask a holder for that is due to be checked; None: nothing now.

        Args:
            holder: An incarnation that can be asked.
            is_sending: Whether more pages are on their way to it, so that there is something to ask
                for soon.
        """
        if any(asked is holder for asked, _ in self._under_way.values()):
            return None
        samples = self._samples.get(holder.id)
        pages = [] if samples is None else samples.pages
        current = [page for page in pages if self._is_held(holder, *page)]
        if current:
            row, serial = self._rng.choice(current)
            return FetchRequest(holder.id, [serial], [row])
        if not is_sending:
            self._trust.on_nothing_to_prove(holder.node)
        return None

    def begin(self, request_id: int, holder: Holder, request: FetchRequest) -> None:
        """The GET is on its way."""
        self._under_way[request_id] = holder, request

    def is_in_flight(self, request_id: int) -> bool:
        """Whether a request is a check under way."""
        return request_id in self._under_way

    def _is_held(self, holder: Holder, row: int, serial: int) -> bool:
        return self._rows.is_held_by(row, serial, holder.id)

    # How it ends.

    def on_reply(self, request_id: int, frame: Frame, now: float) -> None:
        """The holder answered.

        Raises:
            RemoteProtocolError: The answer does not fit the request.
        """
        (code,) = parse_get_reply(frame, 1)
        holder, request = self._under_way.pop(request_id)
        (row,), (serial,) = request.rows, request.serials
        if holder.is_dead or not self._is_held(holder, row, serial):
            return  # put again or flushed on the way: another page is asked for
        self._judged += 1
        if verified(self._rows, row, code, frame.body) is not None:
            self._samples.pop(holder.id, None)
            self._trust.on_proof(holder.node, now)
        else:
            kind = BadCopy.DAMAGED if code else BadCopy.MISSING
            self._on_bad_copy(holder.id, row, kind, now)

    def on_request_failed(self, request_id: int) -> None:
        """There is no answer."""
        del self._under_way[request_id]
        self._unanswered += 1

    @property
    def judged_total(self) -> int:
        """How many pages were asked for and judged."""
        return self._judged

    @property
    def unanswered_total(self) -> int:
        """How many checks got no answer."""
        return self._unanswered
