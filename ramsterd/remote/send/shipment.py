"""What travels together: blocks of one kind on their way to one peer, or to several that keep copies."""

from array import array
from dataclasses import dataclass

from ramsterd.core.leaving import Leaving
from ramsterd.core.page import PoolKind
from ramsterd.remote.holders.holders import Holder


class Shipment:
    """Some blocks, the bytes of all their zpages once, and who gets them.

    One frame never mixes kinds.
    """

    def __init__(
        self,
        kind: PoolKind,
        blocks: list[Leaving],
        holders: tuple[Holder, ...],
        *,
        copies: int = 1,
        fewest_copies: int = 1,
        is_kept: bool = False,
    ) -> None:
        self.kind = kind
        self.blocks = blocks
        self.holders = holders
        # How many holders its blocks want, and with how many they are content while there are no
        # more.
        self.copies = copies
        self.fewest_copies = fewest_copies
        # Whether the blocks stay here too, as clean ones.
        self.is_kept = is_kept
        # In the order of the message: serials, and the rows that had them when it was made.
        self.serials, self.rows = array("Q"), array("I")
        for leaving in blocks:
            self.serials += leaving.serials
            self.rows += leaving.rows
        self.body = b"".join(leaving.body for leaving in blocks)
        # Which holders have stored each block, so far, and how many have not answered.
        self.stored_by: list[list[Holder]] = [[] for _ in blocks]
        self.answers_missing = len(holders)

    @property
    def is_degraded(self) -> bool:
        """Whether it goes to fewer holders than its blocks want."""
        return len(self.holders) < self.copies


@dataclass(frozen=True, slots=True)
class Put:
    """A shipment, to one of its peers."""

    shipment: Shipment
    holder: Holder
