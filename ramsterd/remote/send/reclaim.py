"""Reclaim: whether memory is to be given back, from above the high watermark until what stays is below the low one.

What is on its way counts as gone.  Both kinds of pages ask here, so that one does not leave for
what the other frees.
"""

from ramsterd.core.family import Family
from ramsterd.core.store import Store


class Reclaim:
    """The two watermarks, and on which side of them memory was last."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._is_active = False
        # Since the high watermark was last exceeded, only ephemeral pages left.
        self._is_ephemeral = False
        # Frames of the arena that leave if all under way is stored.
        self.leaving_bytes = 0

    @property
    def is_short(self) -> bool:
        """Whether more is in use than the high watermark allows."""
        return self._store.room.is_short()

    @property
    def target_bytes(self) -> float:
        """The low watermark, in bytes."""
        return self._store.room.limits.low_watermark * self._store.zbud.budget_bytes

    def must_shrink(self) -> bool:
        """Whether more must go to be below the low watermark, given what is on its way.

        Warm blocks are room, not use.
        """
        return self._store.zbud.used_bytes - self.leaving_bytes > self.target_bytes

    def begin(self) -> None:
        """Give memory back now, though there is no shortage yet."""
        self._is_active = True

    def on_ephemeral_next(self) -> None:
        """Our ephemeral pages leave first."""
        self._is_ephemeral = True

    def is_active(self) -> bool:
        """Whether more must go: from above the high watermark to below the low one."""
        if self.is_short:
            self._is_active = True
            self._is_ephemeral = False
        elif self._is_ephemeral and self._store.zbud.oldest(Family.OWN_EPHEMERAL) is None:
            # What ephemeral pages filled they alone pay for.
            self._is_active = self._is_ephemeral = False
        self._is_active = self._is_active and self.must_shrink()
        return self._is_active
