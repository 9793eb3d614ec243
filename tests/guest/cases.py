"""Which faults guests swap through: the table of test_faults.py.

A bar is for the slowest page that the guest's program waits for.  The ways of `quick` are part of every run of the tests,
the others of `make test-guest ALL=1`.
"""

from collections.abc import Callable
from dataclasses import dataclass

from tests.guest.faults import (
    HOLDER,
    OWNER,
    Scene,
    budgets_halved_and_doubled,
    holder_cut_off,
    holder_drained,
    holder_killed,
    holder_killed_and_started,
    holder_restarted,
    holder_stopped,
    owner_killed_and_started,
    owner_restarted,
)
from tests.guest.ways import KERNEL_NBD, VIRTIO, Way


@dataclass(frozen=True, slots=True)
class Case:
    """One line of it."""

    fault: Callable[[Scene], None]
    copies: int
    bar_milliseconds: int | None = None
    # The node whose memory is kept.
    keeps: int | None = None
    quick: tuple[Way, ...] = ()

    @property
    def name(self) -> str:
        return self.fault.__name__.replace("_", " ")

    @property
    def peers(self) -> int:
        """So many that one may be away."""
        return self.copies + 1


CASES = (
    Case(holder_killed, copies=2, bar_milliseconds=1000, quick=(VIRTIO, KERNEL_NBD)),
    Case(holder_stopped, copies=2, bar_milliseconds=2000, quick=(VIRTIO,)),
    Case(holder_cut_off, copies=2, bar_milliseconds=2000, quick=(VIRTIO,)),
    Case(holder_drained, copies=2),
    Case(holder_restarted, copies=2),
    Case(holder_killed_and_started, copies=2, keeps=HOLDER),
    Case(budgets_halved_and_doubled, copies=2),
    Case(owner_restarted, copies=2),
    Case(owner_killed_and_started, copies=2, keeps=OWNER),
    Case(holder_stopped, copies=1, quick=(VIRTIO,)),
    Case(holder_cut_off, copies=1),
    Case(holder_drained, copies=1, quick=(VIRTIO,)),
    Case(holder_restarted, copies=1),
    Case(holder_killed_and_started, copies=1, keeps=HOLDER, quick=(VIRTIO,)),
    Case(budgets_halved_and_doubled, copies=1, quick=(VIRTIO,)),
    Case(owner_restarted, copies=1, quick=(KERNEL_NBD,)),
    Case(owner_killed_and_started, copies=1, keeps=OWNER, quick=(VIRTIO,)),
)
