"""A PUT_PAGES as its sender knows it: blocks of one kind on their way to one peer."""

from dataclasses import dataclass

from ramsterd.core.page import PoolKind
from ramsterd.core.traffic import Leaving
from ramsterd.remote.holders import Holder


@dataclass(slots=True)
class Put:
    """Blocks on their way to one peer; one frame never mixes kinds."""

    holder: Holder
    kind: PoolKind
    blocks: list[Leaving]

    @property
    def serials(self) -> list[int]:
        """All serials, in the order of the message."""
        return [serial for leaving in self.blocks for serial in leaving.serials]

    @property
    def rows(self) -> list[int]:
        """The rows that had these serials when the message was made."""
        return [row for leaving in self.blocks for row in leaving.rows]

    @property
    def body_bytes(self) -> int:
        """Bytes of all zpages."""
        return sum(len(leaving.body) for leaving in self.blocks)
