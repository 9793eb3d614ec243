"""Limits that more than one room must agree on.  Each has one name, here, and a test that reaches it."""

from typing import Final

# Node numbers travel as 16-bit integers; 0 to 254 was the ancestor's range, a cluster here may be
# larger.
NODE_NUMBER_MAX: Final = 1023
# Names stand in certificates, file names and metric labels: short, and plain letters.
NAME_BYTES_MAX: Final = 63
# Why an operator begins long work.
REASON_BYTES_MAX: Final = 200
# Seconds since 1970, until the year 3058.
TIMESTAMP_MAX: Final = (1 << 35) - 1
# sun_path is 108 bytes with its final NUL (unix(7)).
SOCKET_PATH_BYTES_MAX: Final = 107
# The unit of every export, budget and hole: the page of the machines we run on.
PAGE_BYTES: Final = 4096
# Smaller arenas hold less than one open block of each size class.
BUDGET_BYTES_MIN: Final = 2 * 1024 * 1024
# A store's row has 32 bits for block and slot, so 2**27 blocks, of which the smallest hold one
# frame.
BUDGET_BYTES_MAX: Final = 1 << 39
# Tables for some 20,000 pages.
TABLES_BYTES_MIN: Final = 1024 * 1024
# A page costs 37 bytes of tables wherever it is: beside a small budget, 64 MiB are enough for 1.8
# million pages.
TABLES_BYTES_DEFAULT_MIN: Final = 64 * 1024 * 1024
EXPORT_BYTES_MAX: Final = 1 << 46
EXPORTS_MAX: Final = 64
# To be woken costs a twentieth of it: nobody gains by looking for longer.
POLL_MICROSECONDS_MAX: Final = 1000
NODES_MAX: Final = 512
# How often members may change: 48 bits outlast any cluster, and fit every integer on the way.
MEMBERSHIP_VERSION_MAX: Final = (1 << 48) - 1
# Page entries are 32-bit row numbers.
PAGES_MAX: Final = 1 << 31
# One client rarely opens more than 16; each has its own receive buffer.
CONNECTIONS_MAX: Final = 1024
# Frames of one kind under way to one peer; a frame's buffers are up to 1 MiB.
IN_FLIGHT_MAX: Final = 1024
# Compressed pages that are fetched before clients read them: half a frame of pages that do not shrink,
# at least.
READ_AHEAD_BYTES_MIN: Final = 256 * 1024
READ_AHEAD_BYTES_MAX: Final = 1 << 30
# Some 4 GB/s: more than any link of ours carries, so as good as no bound.
REPATRIATE_PAGES_PER_SECOND_MAX: Final = 1_000_000
# Slower than any link, and still a full frame every eighth of a second.
FOREIGN_BYTES_PER_SECOND_MIN: Final = 4 * 1024 * 1024
# Holders that a row names (ramsterd.core.rows).
COPIES_MAX: Final = 3
# What `copies = 0` means where three or more nodes keep pages.
COPIES_DEFAULT: Final = 2
# NBD allows 4096 bytes (doc/proto.md, "Values"); one line on a screen is enough.
DESCRIPTION_BYTES_MAX: Final = 255
# A file of NODES_MAX nodes with comments has about 100 KiB.
CONFIG_FILE_BYTES_MAX: Final = 1024 * 1024
# Who may use the tmem socket is a handful of services; more would be a group's business.
TMEM_USERS_MAX: Final = 64
# User ids are 32 bits, of which the highest means "nobody named" (chown(2)).
USER_ID_MAX: Final = (1 << 32) - 2
# tmem's pools and a node's own share the 4096 of a store (ramsterd.core.pools).
POOLS_PER_USER_MAX: Final = 1024
# What the tables of a store use for one page version: a row, an entry, its part of a leaf that is
# full.
TABLE_BYTES_PER_PAGE: Final = 37
# The log of what numbers in kept memory mean (ramsterd.kept.name_log).
KEPT_NAMES_BYTES: Final = 8 * 1024 * 1024
# The reserve of a node that serves swap: 2 % of its budget, or 32 MiB if that is more; but never more
# than an eighth of the budget, which would be missing where pages are wanted.
RESERVE_BYTES_DEFAULT_MIN: Final = 32 * 1024 * 1024
BUDGET_PER_RESERVE: Final = 50
BUDGET_PER_RESERVE_MAX: Final = 8
RESERVE_BYTES_MAX: Final = 1 << 36
