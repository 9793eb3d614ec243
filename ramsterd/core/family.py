"""Families of pages: what they are to this node, and so who gives way to whom."""

import enum


class Family(enum.IntEnum):
    """What never shares a block.  In the order in which memory is taken back for others, last first."""

    OWN_PERSISTENT = 0
    OWN_EPHEMERAL = 1
    OWN_CLEAN = 2  # a peer holds these too: dropping them is free
    FOREIGN_PERSISTENT = 3
    FOREIGN_EPHEMERAL = 4
