"""Scrub: every zpage here is unpacked and compared with its checksum, a slice at a time.

Own pages and foreign ones alike: a damaged copy is worth nothing, and better found before it is
asked for.  What is damaged is treated as a get would treat it: a page that a peer has too is left
to the peer, a foreign one is missing from now on, and an own one without another copy is lost.
"""

import contextlib
from dataclasses import dataclass
from typing import Final

from ramsterd.core.codec import CodecMissing, decode_page
from ramsterd.core.page import CorruptPage
from ramsterd.core.versions import Versions

# Zpages checked in one slice, about 2 ms, and the pause after it: at most a third of a processor.
SCRUB_ZPAGES: Final = 512
SCRUB_SECONDS: Final = 0.004


@dataclass(frozen=True, slots=True, kw_only=True)
class ScrubStatistics:
    """The scrub that runs or ran last."""

    is_running: bool
    # Its number: how many have begun; and whether it was ended before its time.
    scrubs_total: int
    is_cancelled: bool
    blocks: int
    blocks_seen: int
    zpages_checked: int
    corrupt: int
    # Of all corrupt pages since the start: those that were found before a scrub began which found
    # none.
    cleared_corrupt_pages: int


class Scrubber:
    """Walks the blocks in the order of their numbers."""

    def __init__(self, versions: Versions) -> None:
        self._versions = versions
        self._block = 0
        self._step_at = 0.0
        self._checked = 0
        self._corrupt = 0
        self._scrubs = 0
        self._is_cancelled = False
        # What all had found when the scrub began, and when the last one began that found nothing.
        self._found_before = 0
        self._cleared = 0

    @property
    def is_running(self) -> bool:
        """Whether a scrub has begun and is not over."""
        return self._block > 0

    def begin(self, *, now: float) -> None:
        """Start; one that runs goes on."""
        if not self._block:
            self._checked = self._corrupt = 0
            self._scrubs += 1
            self._is_cancelled = False
            self._found_before = self._versions.counters.corrupt
            # Block 0 is never used: without another there is nothing to check.
            self._block = 1 if self._versions.zbud.blocks_count > 1 else 0
            self._step_at = now
            self._note_end()

    def cancel(self) -> None:
        """End one that runs; what it found counts, and what others found before does, too."""
        self._is_cancelled = self.is_running
        self._block = 0

    def _note_end(self) -> None:
        if not self._block and not self._corrupt:
            self._cleared = self._found_before

    def next_deadline(self) -> float | None:
        """Return when the next slice is due."""
        return self._step_at if self._block else None

    def on_deadline(self, now: float) -> None:
        """Check the next slice, if it is due."""
        if self._block and self._step_at <= now:
            self.scrub(SCRUB_ZPAGES)
            self._step_at = now + SCRUB_SECONDS

    def scrub(self, zpages_max: int) -> None:
        """Check about `zpages_max` zpages."""
        zbud, until = self._versions.zbud, self._checked + zpages_max
        while self._block and self._checked < until:
            if zbud.is_listed(
                self._block
            ):  # one that is leaving is passed over: it may be gone at once
                self._scrub_block(self._block)
            self._block = self._block + 1 if self._block + 1 < zbud.blocks_count else 0
            self._note_end()

    def _scrub_block(self, block: int) -> None:
        versions = self._versions
        for row in versions.zbud.rows(block):
            self._checked += 1
            # A holder may lack the library of a codec that only owners need.
            with contextlib.suppress(CodecMissing):
                try:
                    decode_page(
                        versions.rows.packed(row), versions.zpage(row), versions.rows.checksum(row)
                    )
                except CorruptPage:
                    self._corrupt += 1
                    versions.on_corrupt(row)

    def statistics(self) -> ScrubStatistics:
        """Return a snapshot."""
        blocks = self._versions.zbud.blocks_count - 1
        return ScrubStatistics(
            is_running=self.is_running,
            scrubs_total=self._scrubs,
            is_cancelled=self._is_cancelled,
            blocks=blocks,
            blocks_seen=self._block - 1 if self._block else blocks,
            zpages_checked=self._checked,
            corrupt=self._corrupt,
            cleared_corrupt_pages=self._cleared,
        )
