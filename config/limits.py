"""Limits that more than one room must agree on.  Each has one name, here, and a test that reaches it."""

from typing import Final

# Node numbers travel as 16-bit integers; 0 to 254 was the ancestor's range, a cluster here may be larger.
NODE_NUMBER_MAX: Final = 1023
# Names stand in certificates, file names and metric labels: short, and plain letters.
NAME_BYTES_MAX: Final = 63
# sun_path is 108 bytes with its final NUL (unix(7)).
SOCKET_PATH_BYTES_MAX: Final = 107
# The unit of every export, budget and hole: the page of the machines we run on.
PAGE_BYTES: Final = 4096
# Smaller arenas hold less than one open block of each size class.
BUDGET_BYTES_MIN: Final = 2 * 1024 * 1024
EXPORT_BYTES_MAX: Final = 1 << 46
EXPORTS_MAX: Final = 64
NODES_MAX: Final = 512
